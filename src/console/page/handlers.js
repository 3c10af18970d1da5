// The handlers that serve, with their versions, hooks and times.

import { el, put, Table } from "./dom.js";
import { count } from "./form.js";
import { words } from "./words.js";

export class Handlers {
  constructor() {
    this.table = new Table(words.handlers, [
      [words.file], [words.path], [words.version, "number"], [words.hooks, "wide"], [words.connections, "number"],
    ], (item) => item.file, (item, row) => this.cells(item, row));
    this.empty = el("p", { class: "soft" }, words.noHandlers);
    this.element = el("div", {}, this.empty, el("div", { class: "scroll" }, this.table.element));
    this.known = [];
    this.counted = {};
  }

  cells(item) {
    const paths = el("div", {}, item.paths.map((path) => el("div", {}, path.includes("[")
      ? el("code", {}, path) : el("a", { href: encodeURI(path), target: "_blank", rel: "noopener" }, path))));
    const version = item.version === null ? "–" : String(item.version);
    const hooks = item.broken ? el("span", { class: "bad" }, words.broken) : item.hooks.join(" ");
    return [item.file, paths, version, hooks, count(this.counted[item.file]?.connections ?? 0)];
  }

  handlers({ handlers }) {
    this.known = handlers;
    this.empty.hidden = handlers.length > 0;
    this.table.show(handlers);
  }

  numbers({ counted }) {
    this.counted = counted.handlers;
    for (const item of this.known) {
      const row = this.table.rows.get(item.file);
      if (row) put(row.children[4], count(this.counted[item.file]?.connections ?? 0));
    }
  }
}
