// Pictures that go with the next message: chosen, pasted or dropped. They are read here and sent as data: URLs.

import { byId, element } from "./elements.js";
import { bytes } from "./figures.js";

const MOST_BYTES = 20 * 2 ** 20;
const TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/tiff"];

let chosen = [];
let allowed = false;
let complain = () => {};

export function connect(report) {
  complain = report;
  byId("attach").addEventListener("click", () => byId("files").click());
  byId("files").addEventListener("change", () => {
    add(byId("files").files);
    byId("files").value = "";
  });
  byId("question").addEventListener("paste", (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    add(event.clipboardData.files);
  });
  const box = byId("box");
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    box.addEventListener(name, (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      box.classList.toggle("over", name === "dragenter" || name === "dragover");
      if (name === "drop") add(event.dataTransfer.files);
    });
  }
}

// Whether the chosen model sees.
export function allow(sees) {
  allowed = sees;
  byId("attach").hidden = !sees;
  if (!sees) take();
}

async function add(files) {
  if (!allowed) return complain("This model does not see pictures. Choose one that does, such as starter-vl.");
  for (const file of [...files]) { // the list is emptied while they are read
    if (!TYPES.includes(file.type)) complain(`${file.name} is no picture: PNG, JPEG, WebP, GIF, BMP and TIFF files are read.`);
    else if (file.size > MOST_BYTES) complain(`${file.name} has ${bytes(file.size)}; a picture may have 20 MiB.`);
    else chosen.push({ name: file.name, url: await dataUrl(file) });
  }
  draw();
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

function draw() {
  const list = byId("pictures");
  list.hidden = !chosen.length;
  list.replaceChildren(...chosen.map((picture) => {
    const button = element("button", { type: "button", "aria-label": `Remove ${picture.name}` }, "×");
    button.addEventListener("click", () => {
      chosen = chosen.filter((one) => one !== picture);
      draw();
      byId("question").focus();
    });
    return element("li", {}, element("img", { src: picture.url, alt: picture.name }), button);
  }));
}

// Those chosen, which are no longer chosen then.
export function take() {
  const taken = chosen;
  chosen = [];
  draw();
  return taken;
}
