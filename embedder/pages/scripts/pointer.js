// Drag, pinch, wheel, hover, click.
const fingers = new Map(), hover = byId("hover");
let dragged = 0;

function point(image, { x, y } = {}) {
  if (image !== choice.pointed) redraw();
  choice.pointed = image;
  hover.hidden = image < 0;
  if (image < 0) return;
  hover.replaceChildren(picture(image), named(ids[image]));
  const left = x + 220 > map.clientWidth ? x - 212 : x + 16;
  hover.style.left = `${Math.max(4, left)}px`;
  hover.style.top = `${Math.max(4, Math.min(y + 16, map.clientHeight - hover.offsetHeight - 4))}px`;
}

const badgeAt = (x, y) => badges().find((each) => x >= each.x && y >= each.y && x <= each.x + each.size && y <= each.y + each.size + 20);

map.addEventListener("pointerdown", (event) => {
  map.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
  if (fingers.size === 1) dragged = 0;
});
map.addEventListener("pointermove", (event) => {
  const last = fingers.get(event.pointerId), here = { x: event.offsetX, y: event.offsetY };
  if (!last) {
    const badge = badgeAt(here.x, here.y);
    mark(badge ? regions[badge.number].images : []);
    point(event.pointerType === "touch" || badge ? -1 : under(here.x, here.y), here);
    return;
  }
  dragged += Math.abs(here.x - last.x) + Math.abs(here.y - last.y);
  if (fingers.size === 1 && dragged > 4) move({ scale: view.scale, x: view.x + here.x - last.x, y: view.y + here.y - last.y }, false);
  if (fingers.size === 2) {
    const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
    const apart = (one) => Math.hypot(one.x - other.x, one.y - other.y) || 1;
    zoom(apart(here) / apart(last), other.x, other.y, false);
  }
  fingers.set(event.pointerId, here);
  if (dragged > 4) point(-1, here);
});

function lift(event) {
  const click = fingers.delete(event.pointerId) && event.type === "pointerup" && dragged <= 4 && !fingers.size;
  if (!click) return;
  const badge = badgeAt(event.offsetX, event.offsetY), image = under(event.offsetX, event.offsetY);
  if (badge) showRegion(badge.number);
  else if (image < 0) release();
  else visit("near", image);
}
map.addEventListener("pointerup", lift);
map.addEventListener("pointercancel", lift);
map.addEventListener("pointerleave", () => { point(-1); mark([]); });
map.addEventListener("dblclick", (event) => {
  const image = under(event.offsetX, event.offsetY);
  if (image >= 0 && !badgeAt(event.offsetX, event.offsetY)) visit("look", image);
});
map.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.offsetX, event.offsetY, false);
}, { passive: false });

function release() {
  choose(-1);
  point(-1);
  if (location.hash.startsWith("#/near/")) visit("overview");
}
