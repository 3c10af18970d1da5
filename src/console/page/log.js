// What was saved, what scripts print, and who comes and goes.

import { el, put } from "./dom.js";
import { clock, closeWord } from "./form.js";
import { words } from "./words.js";

const MOST = 300;

export class Log {
  constructor(live) {
    this.live = live;
    this.list = el("ol", { id: "log-list", role: "log", "aria-label": words.saves, tabindex: "0" });
    this.empty = el("p", { class: "soft" }, words.noLog);
    this.element = el("div", {}, this.empty, this.list);
  }

  async opened() {
    try {
      const saves = await this.live.ask("saves");
      this.list.replaceChildren();
      this.add(saves);
    } catch { /* It is asked again with the next connection. */ }
  }

  rows({ rows }) {
    this.add(rows.filter((row) => row.kind !== "message"));
  }

  add(rows) {
    this.empty.hidden = this.list.children.length + rows.length > 0;
    for (const row of rows) this.list.prepend(this.item(row));
    while (this.list.children.length > MOST) this.list.lastChild.remove();
  }

  item(row) {
    const event = row.kind === "save" ? row.event : row.kind;
    const isBad = ["handler-broken", "load-fault", "handler-problem", "rehearsal-differs"].includes(event) || row.level === "error";
    const text = {
      opened: () => "#" + row.connection + " " + row.path + " (" + row.handler + ") " + row.client,
      closed: () => "#" + row.connection + " " + row.handler + " " + row.code + " " + closeWord(row.code) + " " + row.reason,
      printed: () => [row.handler, row.connection && "#" + row.connection, row.text].filter(Boolean).join(" "),
      save: () => row.file,
    }[row.kind];
    const item = el("li", {}, el("div", { class: "head" }, el("time", {}, clock(row.time)),
      el("b", { class: isBad ? "bad" : "" }, words.event[event] ?? event), el("span", {}, text ? text() : "")));
    if (row.kind === "save" && row.text) item.append(el(row.text.includes("\n") ? "pre" : "p", {}));
    if (item.children.length > 1) put(item.lastChild, row.text);
    return item;
  }
}
