// Each region's picture and label, while the pictures on the map are too small to recognise.
const BADGE = 56, SHARE = 0.11; // the largest, in screen pixels and of the width of the map
const SPECK = 44; // pictures of the map smaller than this need them

const labels = regions.map((region) => {
  const label = region.word?.text ?? region.label.split("/").at(-2) ?? "";
  return `${label.length > 16 ? `${label.slice(0, 15)}…` : label} ${figure(region.images.length)}`.trim();
});

painter.font = "600 12px system-ui, sans-serif";
const rooms = labels.map((label) => painter.measureText(label).width + 12);

// Where regions have their pictures, in screen pixels; the map's pointer asks too.
function badges() {
  if (side * view.scale >= SPECK || regions.length < 2 || choice.found) return [];
  const cell = side * view.scale, taken = [], most = Math.min(BADGE, SHARE * map.clientWidth);
  const chosen = choice.chosen < 0 ? null : place(choice.chosen);
  const left = chosen && view.x + chosen.column * cell, top = chosen && view.y + chosen.row * cell;
  regions.forEach((region, number) => {
    const size = Math.max(32, Math.min(most, Math.sqrt(region.images.length) * cell * 0.45));
    const x = view.x + ((region.cell % columns) + 0.5) * cell - size / 2;
    const y = view.y + (Math.floor(region.cell / columns) + 0.5) * cell - size / 2;
    const wide = Math.max(size, rooms[number]), middle = x + size / 2;
    const apart = (each) => Math.abs(each.middle - middle) > (each.wide + wide) / 2 + 4 || y > each.y + each.size + 24 || y + size + 24 < each.y;
    const hides = chosen && x < left + cell && left < x + size && y < top + cell && top < y + size + 24;
    if (size > cell && !hides && taken.every(apart)) taken.push({ number, x, y, size, wide, middle });
  });
  return taken;
}

function drawBadges(colour) {
  painter.textAlign = "center";
  painter.textBaseline = "middle";
  for (const { number, x, y, size, middle } of badges()) {
    const image = regions[number].representative;
    painter.fillStyle = colour("--raised");
    painter.beginPath();
    painter.roundRect((x - 3) * ratio, (y - 3) * ratio, (size + 6) * ratio, (size + 6) * ratio, 8 * ratio);
    painter.fill();
    cut(image, (sheet, left, top) => painter.drawImage(sheet, left, top, side, side, x * ratio, y * ratio, size * ratio, size * ratio));
    const below = (y + size + 11) * ratio, room = rooms[number];
    painter.font = `600 ${12 * ratio}px system-ui, sans-serif`;
    painter.fillStyle = colour("--raised");
    painter.beginPath();
    painter.roundRect((middle - room / 2) * ratio, below - 9 * ratio, room * ratio, 18 * ratio, 9 * ratio);
    painter.fill();
    painter.fillStyle = colour("--ink");
    painter.fillText(labels[number], middle * ratio, below);
  }
}
