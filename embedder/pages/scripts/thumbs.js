// Small pictures to click on, and lists of them that appear a part at a time.
function thumb(image, caption = "") {
  const made = marking(button("", () => visit("near", image), "thumb"), [image]);
  made.title = ids[image];
  made.append(element("span", ids[image], "spoken"), picture(image));
  if (caption) made.append(element("span", caption));
  return made;
}

function thumbs(images, captions = []) {
  const made = element("div", "", "thumbs");
  images.forEach((image, number) => made.append(thumb(image, captions[number])));
  return made;
}

function listed(parent, items, make, part = 60) {
  const more = button("Show more", () => show(), "more");
  let done = 0;
  const show = () => {
    more.before(...items.slice(done, done + part).map(make));
    done += part;
    more.hidden = done >= items.length;
  };
  parent.append(more);
  show();
}

// A row of a list: picture, name, folder, and what else there is to say.
function size(image) {
  return [pixels(image), weight(data.bytes[image])].filter(Boolean).join(" · ");
}

function about(image, note = "") {
  const made = element("div", "", "about-image"), title = element("div", "", "title");
  title.append(named(name(image)));
  made.append(title);
  if (folder(image)) { const where = element("div", "", "faint"); where.append(named(folder(image))); made.append(where); }
  const said = [size(image), note].filter(Boolean).join(" · ");
  if (said) made.append(element("div", said, "faint"));
  return made;
}
