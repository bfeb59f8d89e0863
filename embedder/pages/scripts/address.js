// The page's address names what is shown, so that back and forward work and a picture can be shared.
function visit(panel, image = -1, instead = false) {
  const hash = `#/${panel}${image < 0 ? "" : `/${encodeURIComponent(ids[image])}`}`;
  if (hash !== location.hash) {
    // In a notebook's frame (about:srcdoc) the first is refused, since the address would be resolved as the notebook's.
    if (location.protocol === "about:") location.hash = hash;
    else history[instead ? "replaceState" : "pushState"](null, "", hash);
  }
  arrive();
}

function addressed(id) {
  try { return numbers.get(decodeURIComponent(id)) ?? -1; } catch { return -1; } // an address that was cut short
}

function arrive() {
  const [, panel = "", id = ""] = /^#\/([a-z]+)(?:\/(.+))?$/.exec(location.hash) ?? [];
  const image = addressed(id);
  mark([]); // what was pointed at may be gone
  if (panel !== "look") closeLook();
  if (image >= 0 && image !== choice.chosen) choose(image);
  if (panel === "look" && image >= 0) { open("near"); showLook(image); }
  else open(panels.includes(panel) ? panel : "overview");
}
window.addEventListener("popstate", arrive);
