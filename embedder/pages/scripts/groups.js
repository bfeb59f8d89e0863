// Near-duplicates: a histogram with a threshold to drag, and the groups at it.
const BINS = 50;
const nearest = data.neighbours.map(([, scores]) => scores[0] ?? 0);
const lowest = Math.max(0, Math.floor(nearest.reduce((least, each) => (each ? Math.min(least, each) : least), 9900) / 100) * 100);
const byWorth = [...ids.keys()].sort(worthier);
const links = ids.map(() => new Map());
data.neighbours.forEach(([near, scores], image) => near.forEach((other, number) => {
  links[image].set(other, scores[number]);
  links[other].set(image, scores[number]);
}));

// The rule of `embedder duplicates`, over each image's neighbours: near an image that is kept, an image may go.
function grouped(threshold) {
  if (threshold === Math.round(data.threshold * 10000)) return data.groups;
  const kept = new Map();
  for (const image of byWorth) {
    if (![...links[image]].some(([other, score]) => score >= threshold && kept.has(other))) kept.set(image, []);
  }
  for (const image of byWorth) {
    if (kept.has(image)) continue;
    const [first, score] = [...links[image]].filter(([other]) => kept.has(other)).reduce((one, other) => (other[1] > one[1] ? other : one));
    kept.get(first).push([image, score]);
  }
  const groups = [...kept].filter(([, others]) => others.length).map(([first, others]) => {
    others.sort((one, other) => other[1] - one[1]);
    return [[first, ...others.map(([image]) => image)], [10000, ...others.map(([, score]) => score)]];
  });
  return groups.sort((one, other) => other[0].length - one[0].length || one[0][0] - other[0][0]);
}

function histogram(threshold) {
  const counts = new Array(BINS).fill(0), span = 10000 - lowest;
  for (const score of nearest) counts[Math.min(BINS - 1, Math.max(0, Math.floor(((score - lowest) / span) * BINS)))]++;
  const most = Math.sqrt(Math.max(...counts)), draw = "http://www.w3.org/2000/svg";
  const made = document.createElementNS(draw, "svg");
  made.setAttribute("viewBox", `0 0 ${BINS} 24`);
  made.setAttribute("preserveAspectRatio", "none");
  made.setAttribute("aria-hidden", "true");
  counts.forEach((count, number) => {
    const bar = document.createElementNS(draw, "rect"), tall = (24 * Math.sqrt(count)) / most;
    bar.setAttribute("x", number + 0.1);
    bar.setAttribute("y", 24 - tall);
    bar.setAttribute("width", 0.8);
    bar.setAttribute("height", tall);
    if (lowest + ((number + 0.5) * span) / BINS >= threshold) bar.setAttribute("class", "above");
    made.append(bar);
  });
  return made;
}

function groupCard([images, scores]) {
  const made = marking(element("div", "", "group"), images);
  made.append(element("h2", counted(images.length, "image")));
  listed(made, images.map((image, number) => [image, scores[number], number]), ([image, score, number]) => {
    const row = element("div", "", "copy"), tick = element("input"), label = element("label", "", "go");
    tick.type = "checkbox";
    tick.checked = going.has(image);
    tick.setAttribute("aria-label", `Mark ${ids[image]} to go`);
    tick.addEventListener("change", () => { going[tick.checked ? "add" : "delete"](image); tally(); });
    label.append(tick);
    row.append(label, thumb(image), about(image, number ? shown(score) : ""));
    if (!number) row.append(element("span", "Keep", "keep"));
    return row;
  }, 12);
  return made;
}

let groups = data.groups;
const threshold = byId("threshold");
function tally() {
  const marked = [...going], bytes = marked.reduce((sum, image) => sum + data.bytes[image], 0);
  byId("tally").textContent = `${figure(marked.length)} marked to go${bytes ? `, ${weight(bytes)}` : ""}`;
  for (const each of document.querySelectorAll("[data-selection]")) each.disabled = !marked.length;
}

function regroup(value) {
  groups = grouped(value);
  going.clear();
  for (const [images] of groups) for (const image of images.slice(1)) going.add(image);
  const held = groups.reduce((sum, [images]) => sum + images.length, 0);
  byId("at").textContent = shown(value);
  byId("grouped").textContent = groups.length ? `${counted(held, "image")} in ${counted(groups.length, "group")}` : "No near-duplicates";
  byId("histogram").replaceChildren(histogram(value));
  byId("group-list").replaceChildren();
  listed(byId("group-list"), groups, groupCard, 20);
  tally();
}

threshold.min = lowest;
threshold.max = 10000;
threshold.value = Math.round(data.threshold * 10000);
threshold.addEventListener("input", () => regroup(Number(threshold.value)));
byId("copy-paths").addEventListener("click", () => copy([...going].map(path).join("\n"), announce));
byId("save-table").addEventListener("click", () => save("duplicates.csv", "text/csv", table(groups)));
byId("save-script").addEventListener("click", () => save("delete.sh", "text/x-shellscript", script([...going], shown(Number(threshold.value)))));
