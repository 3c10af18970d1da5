// One connection: who it is, what its handler keeps for it, and what it can be sent.

import { el, field, put } from "./dom.js";
import { base64Of, bytesOfHex, clock, closeWord, size, span, tree } from "./form.js";
import { Saved } from "./saved.js";
import { words } from "./words.js";

export class One {
  constructor(live, onLeave) {
    Object.assign(this, { live, connection: null });
    this.title = el("h3", { id: "one-title", tabindex: "-1" });
    this.facts = el("p", { class: "soft", id: "facts" });
    this.said = el("p", { role: "status", id: "one-said" });
    this.message = el("textarea", { id: "message", rows: 2, spellcheck: "false" });
    this.bytes = el("input", { type: "checkbox", id: "as-bytes" });
    this.code = el("input", { type: "number", id: "code", value: "1000", min: "1000", max: "4999" });
    this.reason = el("input", { type: "text", id: "reason", maxlength: "120", autocomplete: "off" });
    const send = el("form", { id: "send-form", onsubmit: (event) => this.send(event) },
      field(words.message, this.message), el("div", { class: "row" },
        el("label", { class: "check" }, this.bytes, words.asBytes), el("button", { id: "send" }, words.send)));
    this.message.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send.requestSubmit();
    });
    const close = el("form", { class: "row", id: "close-form", onsubmit: (event) => this.close(event) },
      field(words.code, this.code), field(words.reason, this.reason), el("button", { id: "close" }, words.close));
    this.saved = new Saved(() => ({ text: this.message.value, bytes: this.bytes.checked }), (kept) => {
      this.message.value = kept.text;
      this.bytes.checked = kept.bytes;
      this.message.focus();
    });
    this.inner = el("div", { id: "inner" });
    this.state = el("details", { id: "state", ontoggle: () => this.inspect() },
      el("summary", {}, words.state + words.colon + [words.this, words.timers, words.topics].join(words.comma)), this.inner);
    this.closer = el("details", {}, el("summary", {}, words.close), close);
    this.actions = el("div", {}, send, this.saved.element, this.closer, this.state);
    const leave = el("button", { type: "button", class: "leave", "aria-label": "×", onclick: onLeave }, "×");
    this.element = el("div", { id: "one", hidden: true }, el("div", { class: "row head" }, this.title, leave),
      this.facts, this.said, this.actions);
    setInterval(() => this.inspect(), 2000);
  }

  choose(connection, item, now) {
    this.connection = connection;
    this.element.hidden = connection === null;
    this.actions.hidden = connection === "all";
    put(this.said, "");
    put(this.facts, "");
    put(this.inner);
    put(this.title, connection === "all" ? words.messagesOfAll : words.connection + " " + connection);
    this.item = null;
    this.show(item, now);
    this.inspect();
  }

  show(item, now) {
    if (!item) return;
    this.item = item;
    this.saved.choose(item.handler);
    put(this.title, words.connection + " " + item.connection + "  " + item.path);
    const facts = [
      item.handler, words.version + " " + item.version, item.client, words.age + " " + span(Math.max(0, now - item.opened)),
      words.in + " " + item.messages_in + " (" + size(item.bytes_in) + ")",
      words.out + " " + item.messages_out + " (" + size(item.bytes_out) + ")", words.queue + " " + size(item.queued),
    ];
    if (item.protocol) facts.push(words.subprotocol + " " + item.protocol);
    if (item.compresses) facts.push(words.compressed);
    put(this.facts, facts.join(" · "));
  }

  ended(row) {
    this.actions.hidden = true;
    const how = row ? " " + clock(row.time) + ": " + row.code + " " + closeWord(row.code) + " " + row.reason : "";
    put(this.said, words.ended + how);
  }

  async done(what, asked) {
    try {
      await asked;
      put(this.said, what);
      return true;
    } catch (error) {
      put(this.said, error.message);
      return false;
    }
  }

  async send(event) {
    event.preventDefault();
    const question = { connection: this.connection };
    if (this.bytes.checked) {
      const bytes = bytesOfHex(this.message.value);
      if (!bytes) return put(this.said, words.badHex);
      question.data = base64Of(bytes);
    } else {
      question.text = this.message.value;
    }
    if (await this.done(words.sent, this.live.ask("send", question))) this.message.value = "";
  }

  close(event) {
    event.preventDefault();
    const question = { connection: this.connection, code: Number(this.code.value), reason: this.reason.value };
    this.done(words.closing, this.live.ask("close", question));
  }

  async inspect() {
    const connection = this.connection;
    if (!this.state.open || this.element.offsetParent === null || typeof connection !== "number") return;
    let kept;
    try {
      kept = await this.live.ask("inspect", { connection });
    } catch {
      return;
    }
    const text = JSON.stringify(kept);
    if (connection !== this.connection || (text === this.kept && this.inner.firstChild)) return;
    this.kept = text;
    const timers = kept.timers.map((timer) => el("li", {}, el("code", {}, timer.name), " " + span(timer.seconds) +
      (timer.every ? " (" + words.every + " " + span(timer.every) + ")" : "")));
    const topics = kept.topics.map(({ topic, key }) => el("li", {}, el("code", {}, topic), key ? " (" + key + ")" : ""));
    put(this.inner,
      el("h4", {}, words.this, kept.is_whole ? "" : " (" + words.whole + ")"), tree(kept.this ?? {}),
      el("h4", {}, words.timers), timers.length ? el("ul", {}, timers) : el("p", { class: "soft" }, words.noTimers),
      el("h4", {}, words.topics), topics.length ? el("ul", {}, topics) : el("p", { class: "soft" }, words.noTopics));
  }
}
