// Stores and queues: what there is, the entries of one, and a change of one's own.

import { el, field, put, Table } from "./dom.js";
import { bytesOf, count, hexDump } from "./form.js";
import { words } from "./words.js";

const OFTEN = 2000;

export class Store {
  constructor(live) {
    Object.assign(this, { live, entries: [] });
    const input = (id, more = {}) => el("input", { type: "text", id, autocomplete: "off", spellcheck: "false", ...more });
    const find = (id, oninput) => input(id, { type: "search", oninput });
    this.find = find("stores-find", () => this.look());
    this.stores = new Table(words.stores, [[words.stores], [words.keysCount, "number"]], (item) => item.store, (item, row) => [
      this.pick(row, item.store), count(item.keys) + (item.is_all ? "" : "+")]);
    this.queues = new Table(words.queues, [[words.queues], [words.length, "number"]], (item) => item.queue, (item) => [
      item.queue, count(item.length)]);
    this.stores.element.id = "stores-table";
    this.queues.element.id = "queues-table";
    this.empty = el("p", { class: "soft" }, words.noStores);
    this.more = el("p", { class: "soft" }, words.notAll);
    this.names = el("datalist", { id: "store-names" });
    this.store = input("store-name", { list: "store-names", required: true });
    this.wanted = find("store-find", () => this.list());
    this.listed = el("p", { role: "status", id: "store-listed" });
    this.keys = new Table(words.key, [[words.key], [words.value]], (item) => item.key, (item, row) => this.cells(item, row));
    this.keys.element.id = "store-keys";
    this.key = input("store-key", { required: true });
    this.value = el("textarea", { id: "store-value", rows: 6, spellcheck: "false" });
    this.said = el("p", { role: "status", id: "store-said" });
    this.element = el("div", { class: "split" },
      el("div", { class: "list" }, field(words.storesFilter, this.find), this.empty,
        el("div", { class: "scroll" }, this.stores.element, this.queues.element), this.more),
      el("div", { class: "detail" },
        el("form", { onsubmit: (event) => this.list(event) }, this.names,
          el("div", { class: "row" }, field(words.storeName, this.store), field(words.entriesFilter, this.wanted),
            el("button", { id: "list" }, words.list))),
        this.listed, el("div", { class: "scroll tall" }, this.keys.element),
        el("form", { id: "value-form", onsubmit: (event) => this.set(event) }, field(words.key, this.key), field(words.value, this.value),
          el("div", { class: "row" },
            el("button", { type: "button", id: "get", onclick: () => this.get(this.key.value) }, words.get),
            el("button", { id: "set" }, words.set),
            el("button", { type: "button", id: "delete", onclick: () => this.remove() }, words.remove)), this.said)));
    this.show([]);
    setInterval(() => this.isShown && !document.hidden && this.look(), OFTEN);
  }

  pick(row, store) {
    const button = row?.children[0].firstElementChild ??
      el("button", { type: "button", class: "pick", onclick: () => this.choose(store) }, store);
    button.setAttribute("aria-pressed", String(store === this.store.value));
    return button;
  }

  cells(item, row) {
    const button = row?.children[0].firstElementChild ??
      el("button", { type: "button", class: "link", onclick: () => this.get(item.key) }, item.key);
    const front = item.text ?? [...bytesOf(item.data)].slice(0, 24).map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    return [button, front + (item.cut ? " …" : "")];
  }

  handlers({ handlers }) {
    put(this.names, ...handlers.map(({ store }) => el("option", { value: store })));
    if (!this.store.value && handlers.length) this.store.value = handlers[0].store;
  }

  shown() {
    this.look();
  }

  choose(store) {
    this.store.value = store;
    this.wanted.value = "";
    this.look();
    this.list();
  }

  async look() {
    let found;
    try {
      found = await this.live.ask("stores", { find: this.find.value });
    } catch {
      return; // It is asked again.
    }
    this.stores.show(found.stores);
    this.queues.show(found.queues);
    this.stores.element.hidden = !found.stores.length;
    this.queues.element.hidden = !found.queues.length;
    this.empty.hidden = found.stores.length + found.queues.length > 0;
    this.more.hidden = found.is_all;
    if (found.stores.some(({ store }) => store === this.store.value)) this.list();
  }

  async done(element, asked, said) {
    try {
      const answer = await asked;
      put(element, said(answer));
      return answer;
    } catch (error) {
      put(element, error.message);
      return null;
    }
  }

  show(entries) {
    this.keys.show(entries);
    this.keys.element.hidden = !entries.length;
  }

  async list(event) {
    event?.preventDefault();
    if (!this.store.value) return;
    const asked = this.live.ask("entries", { store: this.store.value, find: this.wanted.value });
    const found = await this.done(this.listed, asked, ({ entries, is_all: isAll }) =>
      (!entries.length ? words.noKeys : isAll ? "" : words.notAll));
    if (found && found.store === this.store.value) this.show(found.entries);
  }

  async get(key) {
    this.key.value = key;
    const asked = this.live.ask("get", { store: this.store.value, key });
    const value = await this.done(this.said, asked, (value) => (value === null ? words.noValue : value.cut ? words.whole : ""));
    this.value.value = !value ? "" : value.text !== undefined ? pretty(value.text) : hexDump(bytesOf(value.data));
    this.value.readOnly = Boolean(value && (value.data !== undefined || value.cut));
  }

  async set(event) {
    event.preventDefault();
    if (this.value.readOnly) return put(this.said, words.whole);
    const asked = this.live.ask("set", { store: this.store.value, key: this.key.value, json: this.value.value });
    if (await this.done(this.said, asked, () => words.isSet)) this.look();
  }

  async remove() {
    const asked = this.live.ask("set", { store: this.store.value, key: this.key.value });
    await this.done(this.said, asked, (was) => (was ? words.removed : words.noValue));
    await this.list();
    this.look();
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
