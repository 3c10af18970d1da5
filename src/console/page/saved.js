// Messages that are kept by a name in this browser, each for the handler that it is for.

import { el, field, put } from "./dom.js";
import { words } from "./words.js";

const MOST = 50;

export class Saved {
  /** `current()` is the message that is being written, and `pick(message)` takes one that is chosen. */
  constructor(current, pick) {
    Object.assign(this, { current, pick, key: null });
    this.name = el("input", { type: "text", id: "saved-name", maxlength: "60", autocomplete: "off", required: true });
    this.list = el("ul", { id: "saved-list", class: "keys" });
    this.element = el("details", { id: "saved" }, el("summary", {}, words.savedMessages),
      el("form", { class: "row", onsubmit: (event) => this.keep(event) }, field(words.savedName, this.name),
        el("button", { id: "keep" }, words.keep)), this.list);
  }

  /** The handler whose messages are shown from now on. */
  choose(handler) {
    const key = "wsh-saved:" + handler;
    if (key === this.key) return;
    this.key = key;
    this.show();
  }

  all() {
    try {
      const all = JSON.parse(localStorage.getItem(this.key)) ?? [];
      return Array.isArray(all) ? all : [];
    } catch {
      return [];
    }
  }

  /** Full or forbidden, the browser's storage is nobody's fault here: what was kept stays. */
  write(all) {
    try {
      localStorage.setItem(this.key, JSON.stringify(all));
    } catch { /* It is shown as it is. */ }
    this.show();
  }

  keep(event) {
    event.preventDefault();
    const name = this.name.value;
    const others = this.all().filter((one) => one.name !== name);
    this.write([{ name, ...this.current() }, ...others].slice(0, MOST));
    this.name.value = "";
  }

  show() {
    const all = this.all();
    put(this.list, ...all.map((one) => el("li", { class: "row" },
      el("button", { type: "button", class: "link", onclick: () => this.pick(one) }, String(one.name)),
      el("button", { type: "button", class: "link", "aria-label": words.remove + " " + one.name,
        onclick: () => this.write(this.all().filter((other) => other.name !== one.name)) }, "×"))));
  }
}
