// The map: its pictures, room between its regions, colours, and the marks on it.
const painter = map.getContext("2d");

// The borders between regions, in cells: as few lines as there can be, since each is drawn in every frame.
const borders = new Path2D();
function borderLines(lines, length, differ, line) {
  for (let one = 1; one < lines; one++) {
    for (let start = 0, end = 0; start < length; start = end + 1) {
      for (end = start; end < length && differ(one, end); end++);
      if (end > start) line(one, start, end);
    }
  }
}
const regionAt = (column, row) => regionOf[at.get(row * columns + column)] ?? -1;
const unlike = (one, other) => one !== other && one >= 0 && other >= 0;
borderLines(columns, rows, (column, row) => unlike(regionAt(column - 1, row), regionAt(column, row)), (column, start, end) => {
  borders.moveTo(column, start);
  borders.lineTo(column, end);
});
borderLines(rows, columns, (row, column) => unlike(regionAt(column, row - 1), regionAt(column, row)), (row, start, end) => {
  borders.moveTo(start, row);
  borders.lineTo(end, row);
});

// A picture with a pixel for each cell, to lay over the map.
function overlay(colour) {
  const made = document.createElement("canvas");
  made.width = columns;
  made.height = rows;
  const brush = made.getContext("2d");
  cells.forEach((_, image) => {
    const { column, row } = place(image);
    brush.fillStyle = colour(image);
    brush.fillRect(column, row, 1, 1);
  });
  return made;
}
const overlays = { tint: null, tinted: null, found: null, veil: null, ground: "" };

function box(image) {
  const { column, row } = place(image), size = side * view.scale * ratio;
  return { x: view.x * ratio + column * size, y: view.y * ratio + row * size, size };
}

function draw() {
  const colours = getComputedStyle(document.documentElement);
  const colour = (name) => colours.getPropertyValue(name);
  painter.setTransform(1, 0, 0, 1, 0, 0);
  painter.clearRect(0, 0, map.width, map.height);
  drawSheets();
  drawOverlays(colour("--ground"));
  drawBorders(colour("--ground"));
  if (choice.found && choice.found.length <= 2000) frame(choice.found, colour("--mark"), 2);
  drawBadges(colour);
  drawNeighbours(colour("--accent"), colour("--raised"));
  frame(choice.marked, colour("--mark"), 3);
  if (choice.pointed >= 0) frame([choice.pointed], colour("--ink"), 2);
  if (choice.chosen >= 0) frame([choice.chosen], colour("--accent"), 4);
  if (sheets.every((each) => each.levels.length)) document.body.dataset.ready = "yes";
}

function drawSheets() {
  const scale = view.scale * ratio;
  for (const sheet of sheets) {
    if (!sheet.levels.length) continue;
    const x = (view.x + sheet.x * view.scale) * ratio, y = (view.y + sheet.y * view.scale) * ratio;
    const across = sheet.width * scale, down = sheet.height * scale;
    if (x > map.width || y > map.height || x + across < 0 || y + down < 0) continue;
    const level = Math.min(sheet.levels.length - 1, Math.max(0, Math.floor(Math.log2(1 / scale))));
    painter.drawImage(sheet.levels[level], x, y, across, down);
  }
}

function lay(canvas, alpha) {
  const size = side * view.scale * ratio;
  painter.imageSmoothingEnabled = false;
  painter.globalAlpha = alpha;
  painter.drawImage(canvas, view.x * ratio, view.y * ratio, columns * size, rows * size);
  painter.globalAlpha = 1;
  painter.imageSmoothingEnabled = true;
}

function drawOverlays(ground) {
  if (choice.tint) {
    if (overlays.tint !== choice.tint) Object.assign(overlays, { tint: choice.tint, tinted: overlay((image) => choice.tint[image]) });
    lay(overlays.tinted, 0.55);
  }
  if (choice.found) {
    if (overlays.found !== choice.found || overlays.ground !== ground) {
      const found = new Set(choice.found);
      Object.assign(overlays, { found: choice.found, ground, veil: overlay((image) => (found.has(image) ? "transparent" : ground)) });
    }
    lay(overlays.veil, 0.72);
  }
}

function drawBorders(ground) {
  const size = side * view.scale * ratio;
  painter.setTransform(size, 0, 0, size, view.x * ratio, view.y * ratio);
  painter.strokeStyle = ground;
  painter.lineCap = "square";
  painter.lineWidth = Math.max(3 * ratio, Math.min(0.16 * size, 8 * ratio)) / size;
  painter.stroke(borders);
  painter.setTransform(1, 0, 0, 1, 0, 0);
}

function frame(images, colour, width) {
  painter.strokeStyle = colour;
  painter.lineWidth = width * ratio;
  for (const image of images) {
    const { x, y, size } = box(image);
    painter.strokeRect(x, y, size, size);
  }
}

// Neighbours have a ring, and a line that leads to them; hits have a frame.
function drawNeighbours(colour, ground) {
  if (choice.chosen < 0) return;
  const from = box(choice.chosen), middle = (at) => [at.x + at.size / 2, at.y + at.size / 2];
  for (const [stroke, width] of [[ground, 4], [colour, 2]]) {
    painter.strokeStyle = stroke;
    painter.lineWidth = width * ratio;
    for (const image of choice.around) {
      const to = box(image), [x, y] = middle(to), [left, top] = middle(from);
      const radius = Math.max(5 * ratio, to.size * 0.36), apart = Math.hypot(x - left, y - top) || 1;
      painter.beginPath();
      painter.arc(x, y, radius, 0, 2 * Math.PI);
      if (apart > radius + from.size * 0.7) {
        painter.moveTo(left + ((x - left) * from.size * 0.7) / apart, top + ((y - top) * from.size * 0.7) / apart);
        painter.lineTo(x - ((x - left) * radius) / apart, y - ((y - top) * radius) / apart);
      }
      painter.stroke();
    }
  }
}
