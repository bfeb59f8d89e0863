// The chosen picture, what is known of it, and its neighbours.
function described(image) {
  return facts([
    ["Pixels", pixels(image)],
    ["Size", weight(data.bytes[image])],
    ["Format", data.formats[data.format[image]]],
    ["Taken", taken(image).replace("T", " ")],
    ["Modified", data.modified[image]],
    ["Embedded", data.embedded[image]],
    ["Made by", data.fingerprint + (data.random ? ", random weights" : "")],
    ["Path", path(image)],
  ]);
}

function actions(image) {
  const made = element("div", "", "actions");
  if (local(image)) made.append(openOriginal(address(image)));
  made.append(button("Copy path", () => copy(path(image), announce)));
  made.append(button("Sort everything by likeness to this", () => { closeLook(); sortBy(image); }));
  return made;
}

function choose(image) {
  const panel = byId("near");
  choice.chosen = image;
  choice.around = image < 0 ? [] : data.neighbours[image][0];
  if (image < 0) {
    panel.replaceChildren(element("p", "Choose a picture on the map to see those most like it.", "faint"));
    redraw();
    return;
  }
  const title = element("h2", "", "picked-name"), larger = button("", () => visit("look", image), "picked");
  title.append(named(ids[image]));
  larger.append(whole(image));
  if (!data.previews[image]) original(image, (made) => larger.replaceChildren(made));
  larger.setAttribute("aria-label", `Look at ${ids[image]}`);
  const [near, scores] = data.neighbours[image];
  panel.replaceChildren(button("← Back", () => history.back(), "back"), larger, title, described(image), actions(image));
  if (near.length) panel.append(element("h2", "Most like it"), thumbs(near, scores.map(shown)));
  panel.scrollTop = 0;
  byId("hover").hidden = true;
  reveal(image);
  announce(ids[image]);
}
