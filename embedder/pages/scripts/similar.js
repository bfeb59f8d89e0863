const sources = JSON.parse(document.getElementById("data").textContent);
const cards = [...document.querySelectorAll(".card")];
const dialog = document.querySelector("dialog");
let shown = 0;

function show(number) {
  shown = Math.max(0, Math.min(cards.length - 1, number));
  const card = cards[shown];
  dialog.querySelector(".large").replaceChildren(card.firstElementChild.cloneNode(true));
  original(sources[shown]);
  dialog.querySelector("#dialog-name bdi").replaceChildren(...card.querySelector(".name bdi").cloneNode(true).childNodes);
  dialog.querySelector(".score").textContent = `${shown + 1} of ${cards.length}, cosine ${card.querySelector(".score").textContent.trim()}`;
  dialog.querySelector(".source bdi").textContent = sources[shown];
  dialog.querySelector("[data-step='-1']").disabled = shown === 0;
  dialog.querySelector("[data-step='1']").disabled = shown === cards.length - 1;
  if (!dialog.open) dialog.showModal();
}

// Shows the whole original instead of the page's square, where it lies on this machine and so does the page.
function original(source) {
  if (location.protocol !== "file:" || !/^file:\/\/\/(?!\/)/.test(source)) return; // a fourth slash would begin a host
  const made = document.createElement("img");
  made.alt = "";
  made.onload = () => { if (sources[shown] === source) dialog.querySelector(".large").replaceChildren(made); };
  made.src = source;
}

function columns() {
  const top = cards[0].getBoundingClientRect().top;
  const below = cards.findIndex((card) => card.getBoundingClientRect().top > top);
  return below < 0 ? cards.length : below;
}

cards.forEach((card, number) => card.addEventListener("click", () => show(number)));
dialog.addEventListener("close", () => cards[shown].focus());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.hasAttribute("data-close")) dialog.close();
  if (event.target.dataset.step) show(shown + Number(event.target.dataset.step));
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !cards.length) return;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() }[event.key];
  if (event.key === "Home" || event.key === "End" || step) event.preventDefault();
  else return;
  const here = dialog.open ? shown : cards.indexOf(document.activeElement);
  let next = step ? here + (here < 0 ? 1 : step) : event.key === "Home" ? 0 : cards.length - 1;
  next = Math.max(0, Math.min(cards.length - 1, next));
  if (dialog.open) show(next);
  else cards[next].focus();
});
