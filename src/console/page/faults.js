// What went wrong, with what caused it, and a way to see whether it is mended.

import { el, field, put } from "./dom.js";
import { linkOf } from "./editor.js";
import { base64Of, bytesOf, bytesOfHex, clock, span, tree } from "./form.js";
import { wholeOf } from "./messages.js";
import { words } from "./words.js";

export class Faults {
  constructor(live) {
    this.live = live;
    this.cards = new Map();
    this.empty = el("p", { class: "soft" }, words.noFaults);
    this.broken = el("div", { id: "broken" });
    this.list = el("div", { id: "fault-list" });
    this.element = el("div", {}, this.empty, this.broken, this.list);
    this.brokenCount = 0;
  }

  handlers({ handlers }) {
    const broken = handlers.filter((handler) => handler.broken);
    this.brokenCount = broken.length;
    put(this.broken, ...broken.map((handler) => el("article", { class: "card bad" },
      el("h3", {}, handler.file), el("p", { class: "soft" }, handler.version ? words.brokenSave : words.brokenNew),
      el("pre", { tabindex: "0" }, handler.broken))));
    this.look();
  }

  faults({ faults }) {
    const known = new Set(faults.map((fault) => fault.fault));
    for (const [number, card] of this.cards) {
      if (known.has(number)) continue;
      // What was run again stays until it is put away: that is how one sees it pass.
      if (card.hasRun) card.mend();
      else this.remove(number);
    }
    for (const fault of [...faults].reverse()) {
      let card = this.cards.get(fault.fault);
      if (!card) {
        card = new Card(this.live, () => this.remove(fault.fault));
        this.cards.set(fault.fault, card);
        this.list.prepend(card.element);
      }
      card.show(fault);
    }
    this.look();
  }

  remove(number) {
    this.cards.get(number)?.element.remove();
    this.cards.delete(number);
    this.look();
  }

  look() {
    const open = [...this.cards.values()].filter((card) => !card.isMended).length + this.brokenCount;
    this.empty.hidden = this.cards.size + this.brokenCount > 0;
    this.onBadge?.(open ? String(open) : "", open > 0);
  }
}

class Card {
  constructor(live, onForgotten) {
    Object.assign(this, { live, onForgotten, hasRun: false, isMended: false });
    this.title = el("h3", {});
    this.where = el("p", { class: "soft where" });
    this.report = el("pre", { tabindex: "0" });
    this.cause = el("div", {});
    this.edited = el("textarea", { rows: 3, spellcheck: "false" });
    this.editor = el("details", {}, el("summary", {}, words.edit), field(words.message, this.edited));
    this.runner = el("button", { type: "button", class: "again", onclick: () => this.again() }, words.again);
    this.result = el("div", { class: "result", role: "status" });
    this.about = el("p", { class: "soft" }, words.runAbout);
    this.element = el("article", { class: "card bad" }, this.title, this.where, this.report, this.cause, this.editor,
      el("div", { class: "row" }, this.runner,
        el("button", { type: "button", class: "forget", onclick: () => this.forget() }, words.forget)),
      this.about, this.result);
  }

  show(fault) {
    const { fault: number, message, report, caused_by: cause } = fault;
    const isSame = this.fault && this.fault.time === fault.time && this.fault.times === fault.times;
    this.fault = fault;
    this.isMended = false;
    this.element.classList.remove("mended");
    this.element.dataset.fault = number;
    if (isSame) return;
    put(this.title, message);
    const place = fault.line ? fault.file + ":" + fault.line + ":" + fault.column : fault.file;
    const facts = [place, words.inHook(fault.hook, fault.version)];
    if (fault.connection !== null) facts.push(words.connection + " " + fault.connection + " " + fault.path);
    facts.push(words.times(fault.times), clock(fault.time));
    put(this.where, linkOf(fault, facts.shift()), " · " + facts.join(" · "));
    put(this.report, report);
    const parts = [];
    if (cause) parts.push(el("h4", {}, words.causedBy, cause.cut ? " (" + words.cut + ")" : ""), wholeOf(cause));
    if (fault.this && Object.keys(fault.this).length) {
      parts.push(el("h4", {}, fault.this_before ? words.thisBefore : words.thisAfter), tree(fault.this));
    }
    put(this.cause, ...parts);
    const isMessage = fault.can_run && fault.hook === "transfer_data";
    this.editor.hidden = !isMessage;
    this.runner.disabled = !fault.can_run;
    put(this.about, fault.can_run ? words.runAbout : words.cannotRun);
    if (isMessage && !this.editor.open) this.edited.value = textOf(cause);
  }

  mend() {
    this.isMended = true;
    this.element.classList.add("mended");
    put(this.title, words.mended + ": " + this.fault.message);
  }

  question() {
    const question = { fault: this.fault.fault };
    if (!this.editor.open || this.edited.value === textOf(this.fault.caused_by)) return question;
    if (this.fault.caused_by.text !== undefined) return { ...question, text: this.edited.value };
    const bytes = bytesOfHex(this.edited.value);
    if (!bytes) throw new Error(words.badHex);
    return { ...question, data: base64Of(bytes) };
  }

  async again() {
    this.hasRun = true;
    put(this.result, words.running);
    try {
      const came = await this.live.ask("again", this.question());
      put(this.result, ...this.outcome(came));
    } catch (error) {
      put(this.result, el("p", { class: "failed" }, error.message));
    }
  }

  outcome({ outcome, reason, report, version, sent, milliseconds, this: state }) {
    const said = {
      passed: words.passed(version, span(milliseconds / 1000)), failed: words.failed(version), waits: words.waits(version),
    };
    const parts = [el("p", { class: outcome }, outcome === "passed" ? "✓ " : "✗ ", said[outcome], reason ? ": " + reason : "")];
    if (report) parts.push(el("pre", { tabindex: "0" }, report));
    const answers = sent.filter((row) => row.way === "out");
    parts.push(el("h4", {}, answers.length ? words.answers : words.noAnswers));
    parts.push(...answers.slice(0, 20).map((row) => el("div", { class: "answer" },
      row.opcode === 8 ? el("pre", {}, words.closed + " " + row.code + " " + row.text) : wholeOf(row))));
    if (state && Object.keys(state).length) parts.push(el("h4", {}, words.this), tree(state));
    return parts;
  }

  async forget() {
    try {
      await this.live.ask("forget", { fault: this.fault.fault });
    } catch { /* It is gone already. */ }
    this.onForgotten();
  }
}

/** A message as it is edited: text, or bytes as pairs of digits. */
function textOf(cause) {
  if (!cause) return "";
  if (cause.text !== undefined) return cause.text;
  return [...bytesOf(cause.data)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}
