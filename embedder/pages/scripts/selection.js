// Near-duplicates that are marked to go: copied, or saved as a table or as a script.
const going = new Set();

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const cell = (value) => { const text = String(value); return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };

function table(groups) {
  const lines = [["group", "image_id", "score", "keep", "width", "height", "bytes", "address"]];
  groups.forEach(([images, scores], number) => images.forEach((image, turn) => {
    lines.push([number + 1, ids[image], shown(scores[turn]), going.has(image) ? "no" : "yes", width(image), height(image), data.bytes[image], address(image)]);
  }));
  return lines.map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

function script(images, threshold) {
  const line = (image) => (address(image).startsWith("s3://") ? `aws s3 rm ${quoted(address(image))}` : `rm -- ${quoted(path(image))}`);
  const head = ["#!/bin/sh", `# Deletes ${counted(images.length, "near-duplicate")}, at a cosine of ${threshold} or more. Read it before you run it.`];
  return [...head, ...images.map(line), ""].join("\n");
}
