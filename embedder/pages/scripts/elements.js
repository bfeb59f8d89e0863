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
