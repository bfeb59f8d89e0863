// What is chosen, pointed at, found and marked.
const choice = {
  chosen: -1,
  pointed: -1,
  around: [], // the neighbours of the chosen image
  found: null, // the images that a search or a filter has found, null without one
  marked: [], // a group or a region that the side points at
  tint: null, // a colour for each image
};
const announce = (text) => { byId("status").textContent = text; };

function mark(images) {
  choice.marked = images;
  redraw();
}

// Marks images on the map while an element is pointed at or has the focus.
function marking(made, images) {
  for (const begin of ["pointerenter", "focusin"]) made.addEventListener(begin, () => mark(images));
  for (const end of ["pointerleave", "focusout"]) made.addEventListener(end, () => mark([]));
  return made;
}
