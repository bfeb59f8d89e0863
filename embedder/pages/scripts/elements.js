// Elements, and figures as people read them.
const byId = (name) => document.getElementById(name);

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function button(text, action, className = "") {
  const made = element("button", text, className);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}

// A name or a path, which may break after a separator rather than within a word.
function named(text) {
  const made = element("bdi");
  for (const part of text.split(/(?<=[/\\_.\-\s])(?=[^/\\_.\-\s])/u)) made.append(part, document.createElement("wbr"));
  return made;
}

const figure = (number) => number.toLocaleString("en");
const counted = (number, one, many = `${one}s`) => `${figure(number)} ${number === 1 ? one : many}`;
const shown = (score) => (score / 10000).toFixed(4);

function weight(bytes) {
  if (!bytes) return "";
  if (bytes < 1000) return `${bytes} bytes`;
  const power = Math.min(3, Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1000 ** power).toPrecision(3)} ${["", "kB", "MB", "GB"][power]}`;
}

// What is known of a picture, as a list.
function facts(entries) {
  const list = element("dl");
  for (const [term, value] of entries) {
    if (!value) continue;
    const made = element("dd");
    made.append(named(value));
    list.append(element("dt", term), made);
  }
  return list;
}

const isLocal = (address) => /^file:\/\/\/(?!\/)/.test(address); // a fourth slash would begin a host
const measured = (width, height) => (width ? `${figure(width)} × ${figure(height)}` : "");

// The path of a file as a shell knows it, or the address of an object.
function pathOf(address) {
  if (!isLocal(address)) return address;
  try { return decodeURIComponent(address.slice(7)); } catch { return address; } // a name that is not UTF-8
}

function openOriginal(address) {
  const link = element("a", "Open original", "button");
  link.href = address;
  link.target = "_blank";
  link.rel = "noopener";
  return link;
}

async function copy(text, said) {
  await navigator.clipboard.writeText(text);
  said("Copied");
}

function save(name, type, text) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
