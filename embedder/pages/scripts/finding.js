// Finding images by name, folder, file type and date, and colouring the map by them.
const find = byId("find"), controls = ["folder", "type", "from", "to"].map(byId);
const HUES = ["#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#42d4f4", "#f032e6", "#bfef45", "#469990", "#dcbeff", "#9a6324", "#fabed4"];
const OTHERS = "#808080";
let hits = [], turn = -1; // what was found, and which of it was visited last
let sorted = null; // an image, how like it all are, and of which that is known exactly

function tallied(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1));
}

function options(select, entries) {
  for (const [value, count] of entries) {
    const made = element("option", `${value || "no folder"} (${figure(count)})`);
    made.value = value;
    select.append(made);
  }
}

function sought() {
  const [within, type, from, to] = controls.map((each) => each.value), wanted = find.value.toLowerCase();
  if (!wanted && !within && !type && !from && !to) return null;
  const fits = (image) => ids[image].toLowerCase().includes(wanted) && ids[image].startsWith(within) && (!type || format(image) === type)
    && (!from || date(image) >= from) && (!to || date(image) <= to);
  return [...ids.keys()].filter(fits);
}

function search() {
  const found = sought(), panel = byId("hits");
  choice.found = found;
  turn = -1;
  const order = found ?? (sorted ? [...ids.keys()] : []);
  if (sorted) order.sort((one, other) => sorted.scores[other] - sorted.scores[one]);
  panel.replaceChildren();
  const count = found ? `${figure(found.length)} found` : "";
  byId("count").textContent = count;
  byId("found").textContent = sorted ? `${count || "Everything"} by likeness to ${name(sorted.image)}` : count || "Search by name, or choose below.";
  for (const each of document.querySelectorAll("[data-hit]")) each.hidden = !order.length;
  byId("unsort").hidden = !sorted;
  hits = order;
  listed(panel, order, (image) => {
    const made = marking(button("", () => visit("near", image), "hit"), [image]);
    made.append(picture(image), about(image, sorted ? `${sorted.known.has(image) ? "" : "about "}${shown(sorted.scores[image])}` : ""));
    return made;
  });
  announce(count);
  redraw();
}

function step(by) {
  if (!hits.length) return;
  turn = (turn + by + hits.length + (turn < 0 && by < 0 ? 1 : 0)) % hits.length;
  byId("count").textContent = `${figure(turn + 1)} of ${figure(hits.length)}`;
  visit("near", hits[turn]);
}

function sortBy(image) {
  sorted = { image, ...likeness(image) };
  byId("colour").value = "likeness";
  recolour();
  search();
  visit("finding");
}

// A colour for each image, and what the colours mean.
function recolour() {
  const by = byId("colour").value, legend = byId("legend");
  legend.replaceChildren();
  const scale = (value) => `hsl(${Math.round(250 - 210 * value)} 85% ${Math.round(35 + 25 * value)}%)`;
  const values = {
    region: (image) => regionName(regionOf[image]), folder: (image) => folder(image) || "no folder", type: format, month: (image) => date(image).slice(0, 7),
  }[by];
  const entry = (colour, text) => {
    const made = element("li"), spot = element("i");
    spot.style.setProperty("background", colour);
    made.append(spot, named(text));
    legend.append(made);
  };
  if (values) {
    const all = tallied(ids.map((_, image) => values(image))), colours = new Map(all.slice(0, HUES.length).map(([value], number) => [value, HUES[number]]));
    choice.tint = ids.map((_, image) => colours.get(values(image)) ?? OTHERS);
    for (const [value, count] of all.slice(0, HUES.length)) entry(colours.get(value), `${value} (${figure(count)})`);
    if (all.length > HUES.length) entry(OTHERS, `${counted(all.length - HUES.length, "other")}`);
  } else if (by) {
    const scores = by === "likeness" && sorted ? [...sorted.scores] : data.neighbours.map(([, near]) => near.reduce((sum, each) => sum + each, 0) / (near.length || 1));
    const order = [...scores.keys()].sort((one, other) => scores[one] - scores[other]), ranks = [];
    order.forEach((image, rank) => { ranks[image] = rank / Math.max(1, order.length - 1); });
    choice.tint = ids.map((_, image) => scale(ranks[image]));
    for (const part of [1, 0.5, 0]) { const image = order[Math.round(part * (order.length - 1))]; entry(scale(part), shown(scores[image])); }
  } else choice.tint = null;
  redraw();
}

function drawFinding() {
  const folders = tallied(ids.flatMap((_, image) => folder(image).split("/").slice(0, -1).map((_part, depth, parts) => `${parts.slice(0, depth + 1).join("/")}/`)));
  options(byId("folder"), folders.slice(0, 300).sort((one, other) => (one[0] < other[0] ? -1 : 1)));
  options(byId("type"), tallied(ids.map((_, image) => format(image))));
  const days = ids.map((_, image) => date(image)).filter(Boolean).sort();
  for (const each of [byId("from"), byId("to")]) { each.min = days[0] ?? ""; each.max = days.at(-1) ?? ""; }
  for (const each of controls) each.addEventListener("change", search);
  byId("colour").addEventListener("change", recolour);
  byId("unsort").addEventListener("click", () => { sorted = null; byId("colour").value = ""; recolour(); search(); });
  document.querySelectorAll("[data-hit]").forEach((each) => each.addEventListener("click", () => step(Number(each.dataset.hit))));
  find.addEventListener("input", () => { choose(-1); search(); if (find.value) visit("finding", -1, true); });
  find.addEventListener("keydown", (event) => { if (event.key === "Enter") step(event.shiftKey ? -1 : 1); });
}
