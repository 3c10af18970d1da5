// Times, sizes and values as people read them.

import { el } from "./dom.js";
import { words } from "./words.js";

/** Hours, minutes, seconds and milliseconds of a time in seconds since 1970. */
export function clock(seconds) {
  const time = new Date(seconds * 1000);
  return time.toTimeString().slice(0, 8) + "." + String(time.getMilliseconds()).padStart(3, "0");
}

/** A length of time. */
export function span(seconds) {
  if (seconds < 0.001) return Math.max(0, Math.round(seconds * 1e6)) + " µs";
  if (seconds < 1) return (seconds * 1000).toFixed(seconds < 0.1 ? 1 : 0) + " ms";
  if (seconds < 60) return seconds.toFixed(seconds < 10 ? 1 : 0) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min " + Math.floor(seconds % 60) + " s";
  return Math.floor(seconds / 3600) + " h " + Math.floor((seconds % 3600) / 60) + " min";
}

/** A number of bytes. */
export function size(bytes) {
  if (bytes < 1024) return bytes + " B";
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes, unit = "B";
  while (value >= 1024 && units.length) [value, unit] = [value / 1024, units.shift()];
  return value.toFixed(value < 10 ? 1 : 0) + " " + unit;
}

/** A large number. */
export function count(number) {
  return Math.round(number).toLocaleString(document.documentElement.lang);
}

export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

export function base64Of(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** Bytes from pairs of 0-9 and a-f, or nothing. */
export function bytesOfHex(text) {
  const digits = text.replace(/\s+/g, "");
  if (digits.length % 2 || /[^0-9a-f]/i.test(digits)) return null;
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

const LINE = 16, LINES = 64;

/** Bytes as lines of sixteen, with their places and what is text of them. */
export function hexDump(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length && lines.length < LINES; at += LINE) {
    const part = [...bytes.slice(at, at + LINE)];
    const pairs = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = part.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(at.toString(16).padStart(4, "0") + "  " + pairs.padEnd(LINE * 3) + " " + text);
  }
  return lines.join("\n");
}

/** The value of a text that is a JSON object or array, or nothing. */
export function jsonOf(text) {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const DEEP = 2, MANY = 200;

/** A value of JSON as a tree that folds. */
export function tree(value, name = null, depth = 0) {
  const label = name === null ? [] : [el("span", { class: "key" }, name), ": "];
  if (value === null || typeof value !== "object") {
    const kind = value === null ? "null" : typeof value;
    return el("div", { class: "leaf" }, label, el("span", { class: "json-" + kind }, JSON.stringify(value)));
  }
  const entries = Array.isArray(value) ? value.map((inside, place) => [String(place), inside]) : Object.entries(value);
  const what = Array.isArray(value) ? "[" + entries.length + "]" : "{" + entries.length + "}";
  if (!entries.length) return el("div", { class: "leaf" }, label, what[0] === "[" ? "[]" : "{}");
  const branch = el("details", { class: "tree" }, el("summary", {}, label, el("span", { class: "soft" }, what)));
  const fill = () => {
    if (branch.children.length > 1) return;
    for (const [key, inside] of entries.slice(0, MANY)) branch.append(tree(inside, key, depth + 1));
    if (entries.length > MANY) branch.append(el("div", { class: "leaf soft" }, "… " + (entries.length - MANY)));
  };
  branch.addEventListener("toggle", fill);
  if (depth < DEEP && entries.length <= 50) {
    branch.open = true;
    fill();
  }
  return branch;
}

/** Why a connection was closed, in a word. */
export function closeWord(code) {
  return words.codes[code] ?? "";
}
