// The messages of a connection as they come, with search, direction and pause.

import { el, field, put } from "./dom.js";
import { har, save } from "./har.js";
import { bytesOf, clock, closeWord, hexDump, jsonOf, size, span, tree } from "./form.js";
import { words } from "./words.js";

const MOST = 500, FRONT = 300;

export class Messages {
  /** `known` are the connections, by their numbers. */
  constructor(known) {
    this.known = known;
    this.search = el("input", {
      type: "search", id: "search", placeholder: words.searchHint, autocomplete: "off", spellcheck: "false",
      oninput: () => this.sift(),
    });
    this.way = el("select", { id: "way", onchange: () => this.sift() },
      [["", words.both], ["in", words.in], ["out", words.out]].map(([value, text]) => el("option", { value }, text)));
    this.pauser = el("button", { type: "button", id: "pause", "aria-pressed": "false", onclick: () => this.pause() }, words.pause);
    this.note = el("p", { class: "soft", role: "status", id: "note" });
    this.list = el("ol", { id: "messages", role: "log", "aria-label": words.messages, tabindex: "0", "aria-live": "off" });
    this.element = el("div", { class: "messages" },
      el("div", { class: "row tools" }, field(words.search, this.search), field(words.direction, this.way), this.pauser,
        el("button", { type: "button", id: "clear", onclick: () => this.clear() }, words.clear),
        el("button", { type: "button", id: "har", onclick: () => this.save() }, words.har)),
      this.note, this.list);
    this.begin(null);
  }

  begin(connection) {
    this.connection = connection;
    this.isPaused = false;
    this.waiting = [];
    this.clear();
    this.look();
  }

  clear() {
    this.rows = [];
    this.marked = null;
    this.last = new Map();
    this.missed = 0;
    this.list.replaceChildren();
    put(this.note, "");
  }

  /** What is shown, and no more, as a file. */
  save() {
    const rows = this.rows.filter(({ item }) => !item.hidden).map(({ row }) => row);
    if (rows.length) save("wsh-" + this.connection + ".har", har(rows, this.known, this.version ?? ""));
  }

  pause() {
    this.isPaused = !this.isPaused;
    if (!this.isPaused) this.show(this.waiting.splice(0));
    this.look();
  }

  look() {
    put(this.pauser, this.isPaused ? words.goOn : words.pause);
    this.pauser.setAttribute("aria-pressed", String(this.isPaused));
    const notes = [];
    if (this.isPaused) notes.push(words.paused(this.waiting.length));
    if (this.missed) notes.push(words.missed(this.missed));
    put(this.note, notes.join(" · "));
  }

  add(rows, missed) {
    if (this.connection === null) return;
    const mine = rows.filter((row) => this.connection === "all" || row.connection === this.connection);
    this.missed += missed;
    if (this.isPaused) {
      this.waiting.push(...mine);
      this.waiting.splice(0, this.waiting.length - MOST);
    } else {
      this.show(mine);
    }
    if (missed || this.isPaused) this.look();
  }

  show(rows) {
    if (!rows.length) return;
    const list = this.list;
    const isAtEnd = list.scrollTop + list.clientHeight > list.scrollHeight - 40;
    const items = rows.map((row) => {
      const before = this.last.get(row.connection);
      this.last.set(row.connection, row.time);
      const number = this.connection === "all" ? row.connection : null;
      const after = before === undefined ? null : row.time - before;
      const item = itemOf(row, after, number, () => this.mark(row));
      this.rows.push({ row, item, after });
      if (this.marked) this.tell(this.rows.at(-1));
      item.hidden = !this.wants(row);
      return item;
    });
    list.append(...items);
    for (const { item } of this.rows.splice(0, this.rows.length - MOST)) item.remove();
    if (isAtEnd) list.scrollTop = list.scrollHeight;
  }

  /** Has the times of all tell how long after this one they are, or after the one before each again. */
  mark(row) {
    this.marked = this.marked === row ? null : row;
    for (const known of this.rows) this.tell(known);
  }

  tell({ row, item, after }) {
    const place = item.querySelector(".after");
    place.title = this.marked ? words.sinceMarked : words.sinceLast;
    put(place, timeOf(this.marked ? row.time - this.marked.time : after));
    item.querySelector(".mark")?.setAttribute("aria-pressed", String(row === this.marked));
  }

  wants(row) {
    if (this.way.value && row.way !== this.way.value) return false;
    const wanted = this.search.value;
    if (!wanted) return true;
    const text = row.text ?? row.data ?? "";
    const expression = /^\/(.+)\/(i?)$/.exec(wanted);
    if (!expression) return text.toLowerCase().includes(wanted.toLowerCase());
    try {
      return new RegExp(expression[1], expression[2]).test(text);
    } catch {
      return true;
    }
  }

  sift() {
    for (const { row, item } of this.rows) item.hidden = !this.wants(row);
  }
}

/**
 * A message as a list shows it: so long after the one before, of the connection of this number. One
 * that is open has a button for `onMark`, where there is one.
 */
export function itemOf(row, after, number, onMark) {
  const head = [
    el("time", {}, clock(row.time)),
    number === null ? null : el("span", { class: "soft" }, "#" + number),
    el("b", { class: row.way }, (row.way === "in" ? "↓ " : "↑ ") + words[row.way]),
    el("span", { class: "soft" }, kindOf(row), " ", size(row.size), row.cut ? " (" + words.cut + ")" : ""),
    el("span", { class: "soft after", title: words.sinceLast }, timeOf(after)),
  ];
  const body = el("div", { class: "front" }, frontOf(row));
  if (row.opcode === 8 || row.size === 0) return el("li", {}, el("div", { class: "head" }, head), body);
  const more = el("details", {}, el("summary", {}, el("div", { class: "head" }, head), body));
  more.addEventListener("toggle", () => {
    if (!more.open || more.children.length > 1) return;
    more.append(wholeOf(row));
    if (onMark) more.append(el("button", { type: "button", class: "mark", "aria-pressed": "false", onclick: onMark }, words.mark));
  });
  return el("li", {}, more);
}

function timeOf(after) {
  return after === null ? "" : (after < 0 ? "\u2212" : "+") + span(Math.abs(after));
}

function kindOf(row) {
  const names = { 1: words.text, 2: words.binary, 8: words.closed, 9: words.ping, 10: words.pong, "-1": words.raw };
  return names[row.opcode] + (row.part ? " (" + words.part + ")" : "");
}

function frontOf(row) {
  if (row.opcode === 8) return [row.code, closeWord(row.code), row.text].filter(Boolean).join(" ");
  if (row.text !== undefined) return row.text.length > FRONT ? row.text.slice(0, FRONT) + "…" : row.text;
  const bytes = [...bytesOf(row.data).slice(0, 32)];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ") + (row.size > 32 ? " …" : "");
}

/** All that is there of a message: a tree, text, or bytes. */
export function wholeOf(row) {
  if (row.text === undefined) return el("pre", { tabindex: "0" }, hexDump(bytesOf(row.data)));
  const value = jsonOf(row.text);
  return value === undefined ? el("pre", { tabindex: "0" }, row.text) : tree(value);
}
