// Clients that run in the server, side by side: what each of them is sent, and what it says.

import { el, field, put } from "./dom.js";
import { Lane } from "./lane.js";
import { words } from "./words.js";

export class Clients {
  constructor(live) {
    Object.assign(this, { live, lanes: new Map(), early: [], count: 0 });
    const input = (id, more = {}) => el("input", { type: "text", id, autocomplete: "off", spellcheck: "false", ...more });
    this.paths = el("datalist", { id: "client-paths" });
    this.path = input("client-path", { list: "client-paths", required: true, placeholder: "/chat?user=ada" });
    this.protocol = input("client-protocol");
    this.origin = input("client-origin", { placeholder: "https://example.com" });
    this.headers = el("textarea", { id: "client-headers", rows: 2, spellcheck: "false", placeholder: words.headersHint });
    this.compress = el("input", { type: "checkbox", id: "client-compress" });
    this.said = el("p", { role: "status", id: "client-said" });
    const form = el("form", { class: "panel", onsubmit: (event) => this.open(event) },
      el("h3", {}, words.newClient), el("p", { class: "soft" }, words.clientAbout), this.paths,
      el("div", { class: "row" }, field(words.path, this.path), field(words.subprotocols, this.protocol), field(words.origin, this.origin)),
      field(words.headers, this.headers),
      el("div", { class: "row" }, el("button", { id: "client-connect", class: "primary" }, words.connect),
        el("label", { class: "check" }, this.compress, words.compress)),
      this.said);
    this.message = input("client-message");
    this.all = el("form", { class: "row", id: "client-all", hidden: true, onsubmit: (event) => this.sendToAll(event) },
      field(words.toAll, this.message), el("button", {}, words.sendToAll));
    this.empty = el("p", { class: "soft" }, words.noClients);
    this.grid = el("div", { class: "lanes", id: "lanes" });
    this.element = el("div", {}, form, this.all, this.empty, this.grid);
  }

  handlers({ handlers }) {
    const paths = handlers.flatMap((handler) => handler.paths);
    put(this.paths, ...paths.map((value) => el("option", { value })));
    if (!this.path.value) this.path.value = paths.find((path) => !path.includes("[")) ?? "";
  }

  /** The server has let go of those of the connection before. */
  opened() {
    for (const lane of this.lanes.values()) lane.ended({ code: 1006, reason: "" });
    this.lanes.clear();
    this.early = [];
    this.look();
  }

  clients({ rows, missed }) {
    for (const row of rows) {
      const lane = this.lanes.get(row.client);
      if (lane) lane.add(row);
      else this.early.push(row);
    }
    this.early.splice(0, this.early.length - 200);
    if (missed) for (const lane of this.lanes.values()) lane.miss(missed);
    this.look();
  }

  async open(event) {
    event.preventDefault();
    const wanted = {
      path: this.path.value, protocol: this.protocol.value, origin: this.origin.value, headers: this.headers.value,
      compress: this.compress.checked,
    };
    put(this.said, words.connecting);
    try {
      const opened = await this.live.ask("dial", wanted);
      put(this.said, "");
      const lane = new Lane(this.live, ++this.count, wanted, () => this.leave(lane), () => this.reopen(lane));
      this.grid.append(lane.element);
      this.begin(lane, opened);
      lane.focus();
    } catch (error) {
      put(this.said, error.message);
    }
  }

  async reopen(lane) {
    try {
      this.begin(lane, await this.live.ask("dial", lane.wanted));
    } catch (error) {
      lane.say(error.message);
    }
  }

  begin(lane, opened) {
    this.lanes.delete(lane.client);
    this.lanes.set(opened.client, lane);
    lane.begin(opened);
    for (const row of this.early) if (row.client === opened.client) lane.add(row);
    this.early = this.early.filter((row) => row.client !== opened.client);
    this.look();
  }

  async leave(lane) {
    if (lane.isOpen) {
      try {
        await this.live.ask("client-close", { client: lane.client });
      } catch { /* It has ended just now. */ }
    }
    lane.element.remove();
    this.lanes.delete(lane.client);
    this.look();
    this.path.focus();
  }

  running() {
    return [...this.lanes.values()].filter((lane) => lane.isOpen);
  }

  look() {
    const open = this.running().length;
    this.all.hidden = open < 2;
    this.empty.hidden = this.grid.children.length > 0;
    this.onBadge?.(open ? String(open) : "");
  }

  sendToAll(event) {
    event.preventDefault();
    for (const lane of this.running()) lane.ask("client-send", { text: this.message.value });
    this.message.value = "";
  }
}
