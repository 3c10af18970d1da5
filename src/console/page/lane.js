// One client of several side by side.

import { el, field, put } from "./dom.js";
import { base64Of, bytesOfHex, closeWord, span } from "./form.js";
import { itemOf } from "./messages.js";
import { words } from "./words.js";

const MOST = 300;

export class Lane {
  /** `wanted` is what it was opened with. */
  constructor(live, number, wanted, onLeave, onReopen) {
    Object.assign(this, { live, number, wanted, isOpen: false, missed: 0, last: null });
    const title = el("h3", { id: "lane-" + number }, "#" + number + "  " + wanted.path);
    this.facts = el("p", { class: "soft" });
    this.note = el("p", { role: "status" });
    this.list = el("ol", { class: "rows", role: "log", "aria-live": "off", "aria-labelledby": title.id, tabindex: "0" });
    this.message = el("textarea", { rows: 1, spellcheck: "false", id: "lane-message-" + number });
    this.bytes = el("input", { type: "checkbox" });
    this.form = el("form", { onsubmit: (event) => this.send(event) }, field(words.message, this.message),
      el("div", { class: "row" }, el("button", { class: "send" }, words.send),
        el("button", { type: "button", class: "close", onclick: () => this.ask("client-close", {}) }, words.close),
        el("label", { class: "check" }, this.bytes, words.asBytes)));
    this.message.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.form.requestSubmit();
    });
    this.again = el("button", { type: "button", class: "reopen", hidden: true, onclick: onReopen }, words.reopen);
    const leave = el("button", { type: "button", class: "leave", "aria-label": words.leave + " " + words.clientNumber(number), onclick: onLeave }, "×");
    this.element = el("article", { class: "panel lane", "aria-labelledby": title.id },
      el("div", { class: "row head" }, title, leave), this.facts, this.list, this.form, this.again, this.note);
  }

  focus() {
    this.message.focus();
  }

  begin({ client, protocol, compresses, milliseconds }) {
    Object.assign(this, { client, isOpen: true, last: null });
    this.form.hidden = false;
    this.again.hidden = true;
    const facts = [words.live, span(milliseconds / 1000)];
    if (protocol) facts.push(words.subprotocol + " " + protocol);
    if (compresses) facts.push(words.compressed);
    put(this.facts, facts.join(" · "));
    this.say("");
  }

  add(row) {
    if (row.kind === "ended") return this.ended(row);
    const isAtEnd = this.list.scrollTop + this.list.clientHeight > this.list.scrollHeight - 40;
    this.list.append(itemOf(row, this.last === null ? null : row.time - this.last, null));
    this.last = row.time;
    while (this.list.children.length > MOST) this.list.firstChild.remove();
    if (isAtEnd) this.list.scrollTop = this.list.scrollHeight;
  }

  miss(missed) {
    this.missed += missed;
    this.say(words.missed(this.missed));
  }

  ended({ code, reason }) {
    this.isOpen = false;
    this.form.hidden = true;
    this.again.hidden = false;
    put(this.facts, words.ended + words.colon + [code, closeWord(code), reason].filter(Boolean).join(" "));
  }

  say(text) {
    put(this.note, text);
  }

  async ask(name, question) {
    try {
      await this.live.ask(name, { client: this.client, ...question });
      return true;
    } catch (error) {
      this.say(error.message);
      return false;
    }
  }

  async send(event) {
    event.preventDefault();
    const text = this.message.value;
    const bytes = this.bytes.checked ? bytesOfHex(text) : null;
    if (this.bytes.checked && !bytes) return this.say(words.badHex);
    this.say("");
    const isSent = await this.ask("client-send", bytes ? { data: base64Of(bytes) } : { text });
    if (isSent && this.message.value === text) this.message.value = "";
  }
}
