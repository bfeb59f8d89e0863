// What of the map is seen, and how it moves.
const map = byId("map");
const still = matchMedia("(prefers-reduced-motion: reduce)");
const view = { x: 0, y: 0, scale: 1, fits: true }; // the map's corner in screen pixels; screen pixels per map pixel
let moving = 0, waiting = false, ratio = 1;

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

function fitted(box = { column: 0, row: 0, width: columns, height: rows }) {
  const scale = Math.min(map.clientWidth / (box.width * side), map.clientHeight / (box.height * side), most()) * 0.97;
  const x = map.clientWidth / 2 - (box.column + box.width / 2) * side * scale;
  return { scale, x, y: map.clientHeight / 2 - (box.row + box.height / 2) * side * scale };
}
const most = () => Math.max(4, 200 / side);
const bounded = (scale) => Math.min(most(), Math.max(Math.min(fitted().scale, 1) * 0.5, scale));

function fit(gently = true) {
  move(fitted(), gently);
  view.fits = true;
}

function move(target, gently = true) {
  cancelAnimationFrame(moving);
  view.fits = false;
  const scale = bounded(target.scale);
  const bound = (value, size, room) => Math.min(room * 0.9, Math.max(room * 0.1 - size, value));
  const to = { scale, x: bound(target.x, columns * side * scale, map.clientWidth), y: bound(target.y, rows * side * scale, map.clientHeight) };
  if (!gently || still.matches) { Object.assign(view, to); redraw(); return; }
  const from = { ...view }, began = performance.now();
  const step = (now) => {
    const part = Math.min(1, Math.max(0, (now - began) / 260)), eased = 1 - (1 - part) ** 3;
    for (const each of ["x", "y", "scale"]) view[each] = from[each] + (to[each] - from[each]) * eased;
    draw();
    if (part < 1) moving = requestAnimationFrame(step);
  };
  moving = requestAnimationFrame(step);
}

function zoom(factor, x = map.clientWidth / 2, y = map.clientHeight / 2, gently = true) {
  const scale = bounded(view.scale * factor), real = scale / view.scale;
  move({ scale, x: x - (x - view.x) * real, y: y - (y - view.y) * real }, gently);
}

// Moves the map no further than it takes to see an image, at the size that it has.
function reveal(image) {
  const { column, row } = place(image), size = side * view.scale, edge = Math.min(size, 40);
  const x = view.x + column * size, y = view.y + row * size;
  const right = Math.max(0, edge - x) - Math.max(0, x + size + edge - map.clientWidth);
  const down = Math.max(0, edge - y) - Math.max(0, y + size + edge - map.clientHeight);
  if (right || down) move({ scale: view.scale, x: view.x + right, y: view.y + down });
  else redraw();
}

function showRegion(number) {
  const found = regions[number].images.map(place);
  const left = Math.min(...found.map((each) => each.column)), top = Math.min(...found.map((each) => each.row));
  const right = Math.max(...found.map((each) => each.column)), bottom = Math.max(...found.map((each) => each.row));
  move(fitted({ column: left - 1, row: top - 1, width: right - left + 3, height: bottom - top + 3 }));
}

// The image at a point of the map's element, -1 where there is none.
function under(x, y) {
  const column = Math.floor((x - view.x) / view.scale / side), row = Math.floor((y - view.y) / view.scale / side);
  return column < 0 || row < 0 || column >= columns || row >= rows ? -1 : at.get(row * columns + column) ?? -1;
}

// A window that changes its size, or a phone that turns, keeps everything in view, or else the middle in the middle.
let before = null;
new ResizeObserver(() => {
  ratio = window.devicePixelRatio || 1;
  map.width = Math.round(map.clientWidth * ratio);
  map.height = Math.round(map.clientHeight * ratio);
  if (view.fits || !before) fit(false);
  else move({ scale: view.scale, x: view.x + (map.clientWidth - before.width) / 2, y: view.y + (map.clientHeight - before.height) / 2 }, false);
  before = { width: map.clientWidth, height: map.clientHeight };
  draw();
}).observe(map);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
