// Topics: who subscribes, who is present, what is kept; and a publication of one's own.

import { el, field, put, Table } from "./dom.js";
import { clock, count, size } from "./form.js";
import { wholeOf } from "./messages.js";
import { words } from "./words.js";

export class Topics {
  constructor(live) {
    Object.assign(this, { live, chosen: null });
    this.table = new Table(words.topics, [
      [words.topic], [words.subscribers, "number"], [words.present, "number"], [words.history, "number"],
    ], (item) => item.topic, (item, row) => this.cells(item, row));
    this.empty = el("p", { class: "soft" }, words.noTopicsYet);
    this.name = el("input", { type: "text", id: "topic-name", autocomplete: "off", spellcheck: "false", required: true });
    this.text = el("textarea", { id: "topic-text", rows: 2, spellcheck: "false" });
    this.said = el("p", { role: "status", id: "topic-said" });
    const form = el("form", { onsubmit: (event) => this.publish(event) }, field(words.topic, this.name),
      field(words.message, this.text), el("div", { class: "row" }, el("button", { id: "publish" }, words.publish)), this.said);
    this.inner = el("div", { id: "topic-inner" });
    this.element = el("div", { class: "split" },
      el("div", { class: "list" }, this.empty, el("div", { class: "scroll" }, this.table.element)),
      el("div", { class: "detail" }, form, this.inner));
    setInterval(() => this.look(), 1000);
  }

  cells(item, row) {
    let button = row?.children[0].firstElementChild;
    button ??= el("button", { type: "button", class: "pick", onclick: () => this.choose(item.topic) }, item.topic);
    button.setAttribute("aria-pressed", String(this.chosen === item.topic));
    return [button, count(item.subscribers), count(item.present), item.history ? count(item.history) : "–"];
  }

  shown() {
    this.look();
  }

  choose(topic) {
    this.chosen = this.name.value = topic;
    this.kept = "";
    this.look();
  }

  async look() {
    if (!this.isShown || document.hidden) return;
    try {
      const topics = await this.live.ask("topics");
      this.table.show(topics);
      this.empty.hidden = topics.length > 0;
      if (this.chosen === null) return;
      const topic = await this.live.ask("topic", { topic: this.chosen });
      const text = JSON.stringify(topic);
      if (text === this.kept || topic.topic !== this.chosen) return;
      this.kept = text;
      put(this.inner, ...this.details(topic));
    } catch { /* It is asked again in a second. */ }
  }

  details({ topic, presence, history, position }) {
    const people = presence.map(({ key, info, connections, since }) => el("li", {}, el("code", {}, key), " ",
      info === null ? "" : el("code", { class: "soft" }, JSON.stringify(info)),
      el("span", { class: "soft" }, " × " + connections + ", " + clock(since))));
    const kept = [...history].reverse().map((message) => el("li", {}, el("div", { class: "head" },
      el("code", { class: "soft" }, message.position), el("span", { class: "soft" }, size(message.size))), wholeOf(message)));
    return [
      el("h3", {}, topic), position ? el("p", { class: "soft" }, words.position + " " + position) : null,
      el("h4", {}, words.present), people.length ? el("ul", {}, people) : el("p", { class: "soft" }, words.nobody),
      el("h4", {}, words.history), kept.length ? el("ul", { class: "kept" }, kept) : el("p", { class: "soft" }, words.noHistory),
    ];
  }

  async publish(event) {
    event.preventDefault();
    try {
      const { subscribers } = await this.live.ask("publish", { topic: this.name.value, text: this.text.value });
      put(this.said, words.reached(subscribers));
      this.choose(this.name.value);
    } catch (error) {
      put(this.said, error.message);
    }
  }
}
