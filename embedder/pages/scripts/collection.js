// What the page knows of its images, which are numbers.
const data = JSON.parse(byId("data").textContent);
const { side, columns, rows, ids, cells, missing, regions } = data;
const at = new Map(cells.map((cell, image) => [cell, image]));
const numbers = new Map(ids.map((id, image) => [id, image]));
const regionOf = [];
regions.forEach((region, number) => { for (const image of region.images) regionOf[image] = number; });

const place = (image) => ({ column: cells[image] % columns, row: Math.floor(cells[image] / columns) });
const folder = (image) => ids[image].slice(0, ids[image].lastIndexOf("/") + 1);
const name = (image) => ids[image].slice(ids[image].lastIndexOf("/") + 1) || ids[image];
const width = (image) => data.sizes[2 * image];
const height = (image) => data.sizes[2 * image + 1];
const pixels = (image) => measured(width(image), height(image));
const format = (image) => data.formats[data.format[image]] || "unknown";
const taken = (image) => data.taken[image] || "";
const date = (image) => taken(image).slice(0, 10) || data.modified[image] || data.embedded[image];
const address = (image) => (data.addresses[image] === null ? "" : data.root + data.addresses[image]);

const local = (image) => isLocal(address(image));
const path = (image) => pathOf(address(image)) || ids[image];

const regionName = (number) => regions[number].word?.text || regions[number].label || name(regions[number].representative);

// How like an image all others are, from the shortened vectors; the cosines of the nearest neighbours are known exactly.
const decoded = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
let sketches;
function likeness(image) {
  sketches ??= { points: new Int8Array(decoded(data.sketches.coordinates).buffer), rests: new Uint16Array(decoded(data.sketches.rests).buffer) };
  const { points, rests } = sketches, size = points.length / ids.length;
  const scores = new Float64Array(ids.length);
  for (let other = 0; other < ids.length; other++) {
    let apart = 0;
    for (let each = 0; each < size; each++) apart += (points[image * size + each] - points[other * size + each]) ** 2;
    scores[other] = 10000 * (1 - (apart * data.sketches.step ** 2 + (rests[image] + rests[other]) * data.sketches.rest_step) / 2);
  }
  const [near, exact] = data.neighbours[image], known = new Map(near.map((other, number) => [other, exact[number]])).set(image, 10000);
  const least = exact.at(-1) ?? 10000;
  for (let other = 0; other < ids.length; other++) scores[other] = known.get(other) ?? Math.min(scores[other], least);
  return { scores, known };
}

// The larger of two images, by the rule that says which of near-duplicates to keep.
const worthier = (one, other) => width(other) * height(other) - width(one) * height(one) || data.bytes[other] - data.bytes[one] || one - other;
