"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { side, columns, rows, ids, cells, missing } = data;
  const byId = (name) => document.getElementById(name);
  const map = byId("map"), hover = byId("hover"), status = byId("status");
  const painter = map.getContext("2d");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const at = new Map(cells.map((cell, image) => [cell, image]));
  const view = { x: 0, y: 0, scale: 1 }; // the map's corner in screen pixels, and screen pixels per map pixel
  let chosen = -1, pointed = -1, marked = [], moving = 0, waiting = false, ratio = 1;

  // The sheets are the map, cut into tiles. Each is kept at smaller sizes too: zoomed out, less is drawn.
  const tiles = data.sheets.map(({ column, row, address }) => {
    const tile = { x: column * side, y: row * side, levels: [] };
    const image = new Image();
    image.onload = () => {
      tile.width = image.width;
      tile.height = image.height;
      tile.levels.push(image);
      for (let last = image; Math.min(last.width, last.height) > 64;) {
        const half = document.createElement("canvas");
        half.width = Math.ceil(last.width / 2);
        half.height = Math.ceil(last.height / 2);
        half.getContext("2d").drawImage(last, 0, 0, half.width, half.height);
        tile.levels.push(half);
        last = half;
      }
      if (tiles.every((each) => each.levels.length)) document.body.dataset.ready = "yes";
      repaintThumbs();
      redraw();
    };
    image.src = address;
    return tile;
  });

  const place = (image) => ({ column: cells[image] % columns, row: Math.floor(cells[image] / columns) });

  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }

  function draw() {
    const scale = view.scale * ratio;
    painter.setTransform(1, 0, 0, 1, 0, 0);
    painter.clearRect(0, 0, map.width, map.height);
    for (const tile of tiles) {
      if (!tile.levels.length) continue;
      const x = (view.x + tile.x * view.scale) * ratio, y = (view.y + tile.y * view.scale) * ratio;
      const width = tile.width * scale, height = tile.height * scale;
      if (x > map.width || y > map.height || x + width < 0 || y + height < 0) continue;
      const level = Math.min(tile.levels.length - 1, Math.max(0, Math.floor(Math.log2(1 / scale))));
      painter.drawImage(tile.levels[level], x, y, width, height);
    }
    const colours = getComputedStyle(document.documentElement);
    if (marked.length) {
      painter.fillStyle = colours.getPropertyValue("--ground");
      painter.globalAlpha = 0.55;
      const { x, y, width, height } = box(0, 0, columns, rows);
      painter.beginPath();
      painter.rect(x, y, width, height);
      for (const image of chosen < 0 ? marked : [chosen, ...marked]) {
        const { column, row } = place(image);
        const hole = box(column, row, 1, 1);
        painter.rect(hole.x, hole.y, hole.width, hole.height);
      }
      painter.fill("evenodd");
      painter.globalAlpha = 1;
    }
    frame(marked, colours.getPropertyValue("--mark"), 2);
    if (pointed >= 0) frame([pointed], colours.getPropertyValue("--ink"), 2);
    if (chosen >= 0) frame([chosen], colours.getPropertyValue("--accent"), 4);
  }

  function box(column, row, width, height) {
    const size = side * view.scale * ratio;
    return { x: view.x * ratio + column * size, y: view.y * ratio + row * size, width: width * size, height: height * size };
  }

  function frame(images, colour, width) {
    painter.strokeStyle = colour;
    painter.lineWidth = width * ratio;
    for (const image of images) {
      const { column, row } = place(image);
      const { x, y, width: size } = box(column, row, 1, 1);
      painter.strokeRect(x, y, size, size);
    }
  }

  function fitted() {
    const scale = Math.min(map.clientWidth / (columns * side), map.clientHeight / (rows * side)) * 0.97;
    return { scale, x: (map.clientWidth - columns * side * scale) / 2, y: (map.clientHeight - rows * side * scale) / 2 };
  }

  function move(target, gently = true) {
    cancelAnimationFrame(moving);
    const least = fitted().scale * 0.5, most = Math.max(4, 200 / side);
    const scale = Math.min(most, Math.max(least, target.scale));
    const bound = (value, size, room) => Math.min(room * 0.9, Math.max(room * 0.1 - size, value));
    const to = { scale, x: bound(target.x, columns * side * scale, map.clientWidth), y: bound(target.y, rows * side * scale, map.clientHeight) };
    if (!gently || still.matches) { Object.assign(view, to); redraw(); return; }
    const from = { ...view }, began = performance.now();
    const step = (now) => {
      const part = Math.min(1, Math.max(0, (now - began) / 260)), eased = 1 - (1 - part) ** 3;
      for (const name of ["x", "y", "scale"]) view[name] = from[name] + (to[name] - from[name]) * eased;
      draw();
      if (part < 1) moving = requestAnimationFrame(step);
    };
    moving = requestAnimationFrame(step);
  }

  function zoom(factor, x = map.clientWidth / 2, y = map.clientHeight / 2, gently = true) {
    const least = fitted().scale * 0.5, most = Math.max(4, 200 / side);
    const scale = Math.min(most, Math.max(least, view.scale * factor)), real = scale / view.scale;
    move({ scale, x: x - (x - view.x) * real, y: y - (y - view.y) * real }, gently);
  }

  function bring(image) {
    const { column, row } = place(image);
    const scale = Math.max(view.scale, Math.min(1, 56 / side));
    const x = view.x + (column + 0.5) * side * view.scale, y = view.y + (row + 0.5) * side * view.scale;
    const seen = x > 40 && y > 40 && x < map.clientWidth - 40 && y < map.clientHeight - 40;
    if (seen && scale === view.scale) { redraw(); return; }
    move({ scale, x: map.clientWidth / 2 - (column + 0.5) * side * scale, y: map.clientHeight / 2 - (row + 0.5) * side * scale });
  }

  // Pictures outside the map are cut from the tiles.
  function paint(canvas, image) {
    const { column, row } = place(image);
    const tile = tiles.find((each) => each.levels.length && column * side >= each.x && column * side < each.x + each.width && row * side >= each.y && row * side < each.y + each.height);
    canvas.width = canvas.height = side;
    canvas.dataset.image = image;
    if (tile) canvas.getContext("2d").drawImage(tile.levels[0], column * side - tile.x, row * side - tile.y, side, side, 0, 0, side, side);
  }
  const repaintThumbs = () => document.querySelectorAll("#side canvas").forEach((canvas) => paint(canvas, Number(canvas.dataset.image)));

  function element(name, text = "", className = "") {
    const made = document.createElement(name);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function picture(image) {
    if (missing[image]) return element("span", missing[image], "none");
    const canvas = element("canvas");
    paint(canvas, image);
    return canvas;
  }

  function thumb(image, score) {
    const button = element("button", "", "thumb");
    button.type = "button";
    button.title = ids[image];
    button.setAttribute("aria-label", `${ids[image]}, cosine ${score}`);
    button.append(picture(image), element("span", score));
    button.addEventListener("click", () => choose(image));
    return button;
  }

  function thumbs(images, scores) {
    const made = element("div", "", "thumbs");
    images.forEach((image, number) => made.append(thumb(image, scores[number])));
    return made;
  }

  function choose(image) {
    const panel = byId("near");
    chosen = image;
    if (image < 0) {
      marked = [];
      panel.replaceChildren(element("p", "Choose a picture on the map to see those most like it.", "faint"));
      status.textContent = "";
      redraw();
      return;
    }
    const { column, row } = place(image);
    const about = element("div"), name = element("bdi", ids[image]), picked = element("div", "", "picked");
    about.append(name, element("p", `column ${column + 1}, row ${row + 1}`, "faint"));
    picked.append(picture(image), about);
    const [near, scores] = data.neighbours[image];
    panel.replaceChildren(picked, element("h2", "Most like it"), thumbs(near, scores));
    marked = near;
    hover.hidden = true;
    open("near");
    bring(image);
    status.textContent = `${ids[image]}, column ${column + 1}, row ${row + 1}`;
  }

  // The side's tabs.
  const tabs = [...document.querySelectorAll("[role=tab]")];
  function open(name, focus = false) {
    for (const tab of tabs) {
      const here = tab.getAttribute("aria-controls") === name;
      tab.setAttribute("aria-selected", String(here));
      tab.tabIndex = here ? 0 : -1;
      byId(tab.getAttribute("aria-controls")).hidden = !here;
      if (here && focus) tab.focus();
    }
  }
  tabs.forEach((tab, number) => {
    tab.addEventListener("click", () => open(tab.getAttribute("aria-controls")));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) open(tabs[(number + step + tabs.length) % tabs.length].getAttribute("aria-controls"), true);
    });
  });

  // Long lists appear a part at a time.
  function listed(panel, items, make) {
    const more = element("button", "Show more");
    more.type = "button";
    let shown = 0;
    const show = () => {
      for (const item of items.slice(shown, shown + 30)) more.before(make(item));
      shown += 30;
      more.hidden = shown >= items.length;
    };
    panel.append(more);
    more.addEventListener("click", show);
    show();
  }
  listed(byId("groups"), data.groups, ([images, scores]) => {
    const made = element("div", "", "group");
    made.append(element("h2", `${images.length} images`), thumbs(images.slice(0, 24), scores));
    if (images.length > 24) made.append(element("p", `and ${images.length - 24} more`, "faint"));
    return made;
  });
  byId("outliers").append(thumbs(...data.outliers));

  // Pointer: drag, pinch, wheel, hover, click.
  const fingers = new Map();
  let dragged = 0;
  const under = (x, y) => {
    const column = Math.floor((x - view.x) / view.scale / side), row = Math.floor((y - view.y) / view.scale / side);
    return column < 0 || row < 0 || column >= columns || row >= rows ? -1 : at.get(row * columns + column) ?? -1;
  };
  map.addEventListener("pointerdown", (event) => {
    map.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    if (fingers.size === 1) dragged = 0;
  });
  map.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId), here = { x: event.offsetX, y: event.offsetY };
    if (!before) { point(event.pointerType === "touch" ? -1 : under(here.x, here.y), here); return; }
    dragged += Math.abs(here.x - before.x) + Math.abs(here.y - before.y);
    if (fingers.size === 1 && dragged > 4) move({ scale: view.scale, x: view.x + here.x - before.x, y: view.y + here.y - before.y }, false);
    if (fingers.size === 2) {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const apart = (one) => Math.hypot(one.x - other.x, one.y - other.y) || 1;
      zoom(apart(here) / apart(before), other.x, other.y, false);
    }
    fingers.set(event.pointerId, here);
    if (dragged > 4) point(-1, here);
  });
  const lift = (event) => {
    const click = fingers.delete(event.pointerId) && event.type === "pointerup" && dragged <= 4 && !fingers.size;
    if (click) choose(under(event.offsetX, event.offsetY));
  };
  map.addEventListener("pointerup", lift);
  map.addEventListener("pointercancel", lift);
  map.addEventListener("pointerleave", () => point(-1));
  map.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.offsetX, event.offsetY, false);
  }, { passive: false });

  function point(image, { x, y } = {}) {
    if (image !== pointed) redraw();
    pointed = image;
    hover.hidden = image < 0;
    if (image < 0) return;
    hover.replaceChildren(picture(image), element("bdi", ids[image]));
    const left = x + 220 > map.clientWidth ? x - 212 : x + 16;
    hover.style.left = `${Math.max(4, left)}px`;
    hover.style.top = `${Math.max(4, Math.min(y + 16, map.clientHeight - hover.offsetHeight - 4))}px`;
  }

  // Keyboard.
  map.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) walk(...step);
    else if (event.key === "Enter" || event.key === " ") choose(pointed >= 0 ? pointed : chosen);
    else if (event.key === "+" || event.key === "=") zoom(1.6);
    else if (event.key === "-") zoom(0.625);
    else if (event.key === "0") move(fitted());
    else if (event.key === "Escape") { choose(-1); point(-1); }
    else return;
    event.preventDefault();
  });
  function walk(right, down) {
    let { column, row } = pointed >= 0 ? place(pointed) : chosen >= 0 ? place(chosen) : { column: Math.floor(columns / 2) - right, row: Math.floor(rows / 2) - down };
    let next;
    do {
      column += right;
      row += down;
      next = at.get(row * columns + column);
    } while (next === undefined && column >= 0 && row >= 0 && column < columns && row < rows);
    if (next === undefined || column < 0 || row < 0 || column >= columns || row >= rows) return;
    pointed = next;
    bring(next);
    redraw();
    status.textContent = ids[next];
    const x = view.x + (column + 1) * side * view.scale, y = view.y + row * side * view.scale;
    point(next, { x: Math.min(Math.max(x, 0), map.clientWidth), y: Math.min(Math.max(y, 0), map.clientHeight) });
  }
  document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => {
    const factor = Number(button.dataset.zoom);
    if (factor) zoom(factor); else move(fitted());
  }));

  // Finding ids.
  const find = byId("find");
  let turn = 0;
  function search() {
    const wanted = find.value.toLowerCase();
    turn = 0;
    chosen = -1;
    marked = wanted ? ids.flatMap((id, image) => (id.toLowerCase().includes(wanted) ? [image] : [])) : [];
    status.textContent = wanted ? `${marked.length} found` : "";
    redraw();
  }
  find.addEventListener("input", search);
  find.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const wanted = find.value.toLowerCase();
    const found = wanted ? ids.flatMap((id, image) => (id.toLowerCase().includes(wanted) ? [image] : [])) : [];
    if (found.length) choose(found[turn++ % found.length]);
  });

  let first = true;
  new ResizeObserver(() => {
    ratio = window.devicePixelRatio || 1;
    map.width = Math.round(map.clientWidth * ratio);
    map.height = Math.round(map.clientHeight * ratio);
    if (first) move(fitted(), false);
    first = false;
    draw();
  }).observe(map);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
})();
