// The handlers that serve, with their versions, hooks and times.

import { el, put, Table } from "./dom.js";
import { count, span } from "./form.js";
import { percentile } from "./numbers.js";
import { words } from "./words.js";

export class Handlers {
  constructor() {
    this.table = new Table(words.handlers, [
      [words.file], [words.path], [words.version, "number"], [words.hooks, "wide"], [words.connections, "number"],
      [words.median, "number"], [words.faults, "number"],
    ], (item) => item.file, (item, row) => this.cells(item, row));
    this.empty = el("p", { class: "soft" }, words.noHandlers);
    this.element = el("div", {}, this.empty, el("div", { class: "scroll" }, this.table.element));
    this.known = [];
    this.counted = {};
    this.bounds = [];
  }

  cells(item) {
    const paths = el("div", {}, item.paths.map((path) => el("div", {}, path.includes("[")
      ? el("code", {}, path) : el("a", { href: encodeURI(path), target: "_blank", rel: "noopener" }, path))));
    const version = item.version === null ? "–" : String(item.version);
    const hooks = item.broken ? el("span", { class: "bad" }, words.broken) : item.hooks.join(" ");
    return [item.file, paths, version, hooks, ...this.measured(item.file)];
  }

  /** Connections, times since the hooks are timed, and faults since the start. */
  measured(file) {
    const { connections = 0, hooks = {} } = this.counted[file] ?? {};
    const all = Object.values(hooks);
    const sums = this.bounds.map(() => 0).concat(0);
    for (const { buckets } of all) buckets.forEach((number, place) => (sums[place] += number));
    const times = [0.5, 0.99].map((part) => percentile(sums, this.bounds, part));
    const faults = all.reduce((sum, { faults }) => sum + faults, 0);
    return [count(connections), times.map((time) => (time === null ? "–" : span(time))).join(" / "), count(faults)];
  }

  handlers({ handlers }) {
    this.known = handlers;
    this.empty.hidden = handlers.length > 0;
    this.table.show(handlers);
  }

  numbers({ counted }) {
    this.counted = counted.handlers;
    this.bounds = counted.bounds;
    for (const item of this.known) {
      const row = this.table.rows.get(item.file);
      if (row) this.measured(item.file).forEach((text, place) => put(row.children[4 + place], text));
    }
  }
}
