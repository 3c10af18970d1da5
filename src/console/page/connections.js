// The open connections, and the one that was chosen.

import { el, field, put, Table } from "./dom.js";
import { count, size, span } from "./form.js";
import { Messages } from "./messages.js";
import { One } from "./one.js";
import { words } from "./words.js";

/** Connections that are remembered after their end, for a file of their messages. */
const MOST = 1000;

export class Connections {
  constructor(live) {
    this.live = live;
    this.chosen = null;
    this.known = [];
    this.items = new Map();
    this.filter = el("input", {
      type: "search", id: "filter", placeholder: words.filterHint, autocomplete: "off", spellcheck: "false",
      oninput: () => this.narrow(),
    });
    this.table = new Table(words.connections, [
      [words.connection], [words.handler], [words.client, "wide"], [words.age, "number"], [words.in, "number"],
      [words.out, "number"], [words.queue, "number wide"],
    ], (item) => item.connection, (item, row) => this.cells(item, row));
    this.table.element.id = "connections-table";
    this.empty = el("p", { class: "soft" }, words.noConnections);
    this.total = el("p", { class: "soft", id: "total" });
    this.messages = new Messages(this.items);
    this.one = new One(live, () => this.choose(null));
    const all = el("button", { type: "button", id: "all", class: "link", onclick: () => this.choose("all") }, words.all);
    this.hint = el("p", { id: "hint", class: "soft" }, words.choose, " ", all, ".");
    this.detail = el("div", { class: "detail" }, this.hint, this.one.element, this.messages.element);
    this.element = el("div", { class: "split" },
      el("div", { class: "list" }, field(words.filter, this.filter), this.total, this.empty,
        el("div", { class: "scroll" }, this.table.element)),
      this.detail);
    this.choose(null);
  }

  cells(item, row) {
    const now = this.now;
    let button = row?.children[0].firstElementChild;
    if (!button) {
      button = el("button", { type: "button", class: "pick", onclick: () => this.choose(item.connection) }, String(item.connection));
      button.dataset.connection = item.connection;
    }
    button.setAttribute("aria-pressed", String(this.chosen === item.connection));
    let name = row?.children[1].firstElementChild;
    if (!name) name = el("div", {}, el("div", {}), el("div", { class: "soft" }));
    put(name.children[0], item.path);
    put(name.children[1], item.handler + " · " + words.version + " " + item.version);
    return [
      button, name, item.client, span(Math.max(0, now - item.opened)), count(item.messages_in),
      count(item.messages_out), size(item.queued),
    ];
  }

  narrow() {
    this.live.ask("filter", { text: this.filter.value }).catch(() => {});
  }

  hello({ version }) {
    this.messages.version = version;
  }

  opened() {
    this.narrow();
    if (this.chosen !== null) this.choose(this.chosen);
  }

  numbers({ connections, total, time }) {
    this.now = time;
    this.onBadge?.(String(total));
    this.known = connections;
    for (const item of connections) this.items.set(item.connection, item);
    while (this.items.size > MOST) this.items.delete(this.items.keys().next().value);
    this.table.show(connections);
    this.empty.hidden = total > 0;
    put(this.total, total > connections.length ? words.shown(connections.length, total) : "");
    this.one.show(connections.find((item) => item.connection === this.chosen), time);
  }

  rows(message) {
    this.messages.add(message.rows.filter((row) => row.kind === "message"), message.missed);
    for (const row of message.rows) {
      if (row.kind === "closed" && row.connection === this.chosen) this.one.ended(row);
    }
  }

  async choose(connection) {
    this.chosen = connection;
    const isAny = connection !== null;
    this.hint.hidden = isAny;
    this.messages.element.hidden = !isAny;
    this.messages.begin(connection);
    this.one.choose(connection, this.known.find((item) => item.connection === connection), this.now);
    for (const item of this.known) {
      this.table.cell(item.connection, 0)?.setAttribute("aria-pressed", String(item.connection === connection));
    }
    try {
      const kept = await this.live.ask("watch", { connection });
      if (this.chosen === connection) this.messages.add(kept, 0);
    } catch {
      if (this.chosen === connection && isAny) this.one.ended(null);
    }
  }
}
