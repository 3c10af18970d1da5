// The place of a fault, which opens in the editor that --editor names.

import { el } from "./dom.js";

const editor = document.querySelector("meta[name=editor]");

/** The text of a place, as a link where there is an editor. */
export function linkOf({ file, line, column }, text) {
  if (!editor) return text;
  const values = {
    file: encodeURI(editor.dataset.folder + "/" + file).replace(/[?#&]/g, encodeURIComponent), line: line || 1, column: column || 1,
  };
  const href = editor.content.replace(/\{(file|line|column)\}/g, (_, name) => values[name]);
  return el("a", { class: "editor", href }, text);
}
