// The sheets are the map, cut into parts. Each is kept at smaller sizes too: zoomed out, less is drawn.
const sheets = data.sheets.map(({ column, row, address: source }) => {
  const sheet = { x: column * side, y: row * side, levels: [] };
  const image = new Image();
  image.onload = () => {
    sheet.width = image.width;
    sheet.height = image.height;
    sheet.levels.push(image);
    for (let last = image; Math.min(last.width, last.height) > 64;) {
      const half = document.createElement("canvas");
      half.width = Math.ceil(last.width / 2);
      half.height = Math.ceil(last.height / 2);
      half.getContext("2d").drawImage(last, 0, 0, half.width, half.height);
      sheet.levels.push(half);
      last = half;
    }
    document.querySelectorAll("canvas[data-image]").forEach((canvas) => paint(canvas, Number(canvas.dataset.image)));
    redraw();
  };
  image.src = source;
  return sheet;
});

// Calls `draw` with the sheet that an image is on, and where on it.
function cut(image, draw) {
  const { column, row } = place(image), x = column * side, y = row * side;
  const sheet = sheets.find((each) => each.levels.length && x >= each.x && x < each.x + each.width && y >= each.y && y < each.y + each.height);
  if (sheet) draw(sheet.levels[0], x - sheet.x, y - sheet.y);
}

function paint(canvas, image) {
  canvas.width = canvas.height = side;
  canvas.dataset.image = image;
  cut(image, (sheet, x, y) => canvas.getContext("2d").drawImage(sheet, x, y, side, side, 0, 0, side, side));
}

function picture(image) {
  if (missing[image]) return element("span", missing[image], "none");
  const canvas = element("canvas");
  paint(canvas, image);
  return canvas;
}

// The original, where this page may load it: it lies on this machine, and so does the page.
function original(image, shown, failed = () => {}) {
  if (location.protocol !== "file:" || !local(image)) return false;
  const made = element("img");
  made.alt = "";
  made.onload = () => shown(made);
  made.onerror = failed;
  made.src = address(image);
  return true;
}

// The whole picture where the page has it, else the square.
function whole(image) {
  if (!data.previews[image]) return picture(image);
  const made = element("img");
  made.src = data.previews[image];
  made.alt = "";
  return made;
}
