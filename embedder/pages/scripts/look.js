// One picture, large and whole: the original where this browser can load it, else what the page has of it.
const look = byId("look");
let looked = -1;

function closeLook() {
  if (look.open) look.close();
}

function showLook(image) {
  looked = image;
  const stage = byId("look-picture"), note = byId("look-note"), aside = byId("look-about");
  const small = whole(image), title = element("h2");
  title.id = "look-name";
  title.append(named(ids[image]));
  stage.replaceChildren(small);
  note.textContent = "";
  aside.replaceChildren(title, described(image), actions(image));
  byId("look-previous").disabled = byId("look-next").disabled = order().length < 2;
  const here = (act) => (made) => { if (looked === image) act(made); };
  const loading = original(
    image,
    here((made) => stage.replaceChildren(made)),
    here(() => { note.textContent = "The original cannot be shown; this is the page's own small copy."; }),
  );
  if (!loading && !missing[image]) note.textContent = "This is the page's own small copy of the picture.";
  if (!look.open) look.showModal();
}

// What "next" means: the hits where the image is one, else the image's own region.
function order() {
  return hits.includes(looked) ? hits : regions[regionOf[looked]].images;
}

function turnLook(by) {
  const all = order();
  visit("look", all[(all.indexOf(looked) + by + all.length) % all.length], true);
}

byId("look-previous").addEventListener("click", () => turnLook(-1));
byId("look-next").addEventListener("click", () => turnLook(1));
byId("look-close").addEventListener("click", () => look.close());
look.addEventListener("click", (event) => { if (event.target === look) look.close(); });
look.addEventListener("close", () => { if (location.hash.startsWith("#/look/")) visit("near", looked, true); });
look.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  event.preventDefault();
  turnLook(by);
});
