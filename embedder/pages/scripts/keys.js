// The map by keys.
function walk(right, down) {
  const middle = () => {
    const size = side * view.scale;
    const column = Math.floor((map.clientWidth / 2 - view.x) / size), row = Math.floor((map.clientHeight / 2 - view.y) / size);
    return { column: Math.min(columns - 1, Math.max(0, column)) - right, row: Math.min(rows - 1, Math.max(0, row)) - down };
  };
  let { column, row } = choice.pointed >= 0 ? place(choice.pointed) : choice.chosen >= 0 ? place(choice.chosen) : middle();
  let next;
  do {
    column += right;
    row += down;
    next = column < columns && column >= 0 ? at.get(row * columns + column) : undefined;
  } while (next === undefined && column >= 0 && row >= 0 && column < columns && row < rows);
  if (next === undefined) return;
  reveal(next);
  announce(ids[next]);
  const x = view.x + (column + 1) * side * view.scale, y = view.y + row * side * view.scale;
  point(next, { x: Math.min(Math.max(x, 0), map.clientWidth), y: Math.min(Math.max(y, 0), map.clientHeight) });
}

map.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const along = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const image = choice.pointed >= 0 ? choice.pointed : choice.chosen;
  if (along) walk(...along);
  else if (event.key === "Enter" || event.key === " ") { if (image >= 0) visit(image === choice.chosen ? "look" : "near", image); }
  else if (event.key === "+" || event.key === "=") zoom(1.6);
  else if (event.key === "-") zoom(0.625);
  else if (event.key === "0") fit();
  else if (event.key === "Escape") release();
  else return;
  event.preventDefault();
});

document.querySelectorAll("[data-zoom]").forEach((each) => each.addEventListener("click", () => {
  const factor = Number(each.dataset.zoom);
  if (factor) zoom(factor); else fit();
}));
