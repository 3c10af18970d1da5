// Stores and queues: keys, their values, and a change of one's own.

import { el, field, put } from "./dom.js";
import { bytesOf, count, hexDump } from "./form.js";
import { words } from "./words.js";

export class Store {
  constructor(live) {
    this.live = live;
    const input = (id, more = {}) => el("input", { type: "text", id, autocomplete: "off", spellcheck: "false", ...more });
    this.names = el("datalist", { id: "store-names" });
    this.store = input("store-name", { list: "store-names", required: true });
    this.prefix = input("store-prefix");
    this.listed = el("p", { role: "status", id: "store-listed" });
    this.keys = el("ul", { id: "store-keys", class: "keys" });
    this.key = input("store-key", { required: true });
    this.value = el("textarea", { id: "store-value", rows: 6, spellcheck: "false" });
    this.said = el("p", { role: "status", id: "store-said" });
    this.queue = input("queue-name", { required: true });
    this.length = el("p", { role: "status", id: "queue-said" });
    this.element = el("div", { class: "split" },
      el("div", { class: "list" },
        el("form", { onsubmit: (event) => this.list(event) }, this.names, field(words.storeName, this.store),
          el("div", { class: "row" }, field(words.prefix, this.prefix), el("button", { id: "list" }, words.list))),
        this.listed, this.keys,
        el("form", { class: "row", onsubmit: (event) => this.measure(event) }, field(words.queueName, this.queue),
          el("button", { id: "measure" }, words.length)), this.length),
      el("div", { class: "detail" },
        el("form", { id: "value-form", onsubmit: (event) => this.set(event) }, field(words.key, this.key), field(words.value, this.value),
          el("div", { class: "row" },
            el("button", { type: "button", id: "get", onclick: () => this.get(this.key.value) }, words.get),
            el("button", { id: "set" }, words.set),
            el("button", { type: "button", id: "delete", onclick: () => this.remove() }, words.remove)), this.said)));
  }

  handlers({ handlers }) {
    put(this.names, ...handlers.map(({ store }) => el("option", { value: store })));
    if (!this.store.value && handlers.length) this.store.value = handlers[0].store;
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

  async list(event) {
    event?.preventDefault();
    const asked = this.live.ask("keys", { store: this.store.value, prefix: this.prefix.value });
    const keys = await this.done(this.listed, asked, (keys) => (keys.length ? "" : words.noKeys));
    put(this.keys, ...(keys ?? []).map((key) => el("li", {},
      el("button", { type: "button", class: "link", onclick: () => this.get(key) }, key))));
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
    if (await this.done(this.said, asked, () => words.isSet)) this.list();
  }

  async remove() {
    const asked = this.live.ask("set", { store: this.store.value, key: this.key.value });
    await this.done(this.said, asked, (was) => (was ? words.removed : words.noValue));
    this.list();
  }

  measure(event) {
    event.preventDefault();
    this.done(this.length, this.live.ask("queue", { queue: this.queue.value }), ({ length }) => words.entries(count(length)));
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
