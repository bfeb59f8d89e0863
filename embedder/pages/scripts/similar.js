const { matches, query } = JSON.parse(byId("data").textContent);
const cards = [...document.querySelectorAll(".card")];
const dialog = document.querySelector("dialog");
let at = 0; // which match the dialog shows

const about = ({ width, height, bytes, format, taken, modified }) => [
  ["Pixels", measured(width, height)],
  ["Size", weight(bytes)],
  ["Format", format],
  ["Taken", taken.replace("T", " ")],
  ["Modified", modified],
];

function show(number) {
  at = Math.max(0, Math.min(cards.length - 1, number));
  const card = cards[at], match = matches[at], { source } = match;
  dialog.querySelector(".large").replaceChildren(card.firstElementChild.cloneNode(true));
  original(source);
  byId("dialog-name").replaceChildren(card.querySelector(".name bdi").cloneNode(true));
  dialog.querySelector(".score").textContent = `${at + 1} of ${cards.length}, cosine ${card.querySelector(".score").textContent.trim()}`;
  byId("facts").replaceChildren(facts([...about(match), ["Embedded", match.embedded], ["Path", pathOf(source)]]));
  const copied = button("Copy path", () => copy(pathOf(source), (said) => { copied.textContent = said; }));
  byId("actions").replaceChildren(...(isLocal(source) ? [openOriginal(source)] : []), ...(source ? [copied] : []));
  dialog.querySelector("[data-step='-1']").disabled = at === 0;
  dialog.querySelector("[data-step='1']").disabled = at === cards.length - 1;
  if (!dialog.open) dialog.showModal();
}

// Shows the whole original instead of the page's square, where it lies on this machine and so does the page.
function original(source) {
  if (location.protocol !== "file:" || !isLocal(source)) return;
  const made = document.createElement("img");
  made.alt = "";
  made.onload = () => { if (matches[at].source === source) dialog.querySelector(".large").replaceChildren(made); };
  made.src = source;
}

function columns() {
  const top = cards[0].getBoundingClientRect().top;
  const below = cards.findIndex((card) => card.getBoundingClientRect().top > top);
  return below < 0 ? cards.length : below;
}

if (query) byId("query-facts").textContent = about(query).map(([, value]) => value).filter(Boolean).slice(0, 4).join(" · ");
cards.forEach((card, number) => card.addEventListener("click", () => show(number)));
dialog.addEventListener("close", () => cards[at].focus());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.hasAttribute("data-close")) dialog.close();
  if (event.target.dataset.step) show(at + Number(event.target.dataset.step));
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !cards.length) return;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() }[event.key];
  if (event.key === "Home" || event.key === "End" || step) event.preventDefault();
  else return;
  const here = dialog.open ? at : cards.indexOf(document.activeElement);
  let next = step ? here + (here < 0 ? 1 : step) : event.key === "Home" ? 0 : cards.length - 1;
  next = Math.max(0, Math.min(cards.length - 1, next));
  if (dialog.open) show(next);
  else cards[next].focus();
});
