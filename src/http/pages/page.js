// One connection of this page to the handler at its own address, and what goes over it.
"use strict";
const words = JSON.parse(document.body.dataset.words);
const [form, field, send, toggle, state, list] =
  ["form", "message", "send", "toggle", "state", "list"].map((id) => document.getElementById(id));
const MOST_ROWS = 500, MOST_LETTERS = 4000, MOST_BYTES = 64;
let socket = null;

function row(kind, name, text) {
  const item = document.createElement("li");
  const [time, label, body] = ["time", "b", "span"].map((tag) => document.createElement(tag));
  const now = new Date();
  time.textContent = now.toTimeString().slice(0, 8) + "." + String(now.getMilliseconds()).padStart(3, "0");
  label.textContent = name;
  body.textContent = text;
  item.className = kind;
  item.append(time, label, body);
  const isAtEnd = list.scrollTop + list.clientHeight > list.scrollHeight - 20;
  list.append(item);
  while (list.children.length > MOST_ROWS) list.firstChild.remove();
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}

function shown(data) {
  if (typeof data === "string") {
    return data.length > MOST_LETTERS ? data.slice(0, MOST_LETTERS) + "… (" + data.length + ")" : data;
  }
  const bytes = [...new Uint8Array(data.slice(0, MOST_BYTES))];
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return hex + (data.byteLength > MOST_BYTES ? " …" : "") + " (" + data.byteLength + " " + words.bytes + ")";
}

function look() {
  const now = socket ? socket.readyState : WebSocket.CLOSED;
  state.textContent = words.states[now];
  field.disabled = send.disabled = now !== WebSocket.OPEN;
  toggle.textContent = now === WebSocket.CLOSED ? words.open : words.close;
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss://" : "ws://";
  const mine = socket = new WebSocket(scheme + location.host + location.pathname + location.search);
  mine.binaryType = "arraybuffer";
  let opened = false;
  mine.onopen = () => { opened = true; row("open", words.opened, mine.protocol); look(); field.focus(); };
  mine.onmessage = (event) => row("got", words.got, shown(event.data));
  mine.onclose = (event) => {
    const ended = opened ? event.code + " " + event.reason : words.refused;
    row(event.wasClean ? "closed" : "bad", words.closed, ended);
    if (mine === socket) look();
  };
  look();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!socket || socket.readyState !== WebSocket.OPEN) return;
  socket.send(field.value);
  row("sent", words.sent, field.value);
  field.value = "";
});
toggle.addEventListener("click", () => {
  if (socket && socket.readyState !== WebSocket.CLOSED) socket.close(1000);
  else connect();
  look();
});
if (document.body.dataset.connect) connect();
else look();
