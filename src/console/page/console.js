// The console: its sections, and what the server tells, handed to each of them.

import { Clients } from "./clients.js";
import { Connections } from "./connections.js";
import { el, put } from "./dom.js";
import { Faults } from "./faults.js";
import { Handlers } from "./handlers.js";
import { Live } from "./live.js";
import { Log } from "./log.js";
import { Numbers } from "./numbers.js";
import { Store } from "./store.js";
import { Topics } from "./topics.js";
import { words } from "./words.js";

const main = document.querySelector("#main");
const nav = document.querySelector("#nav");
const status = document.querySelector("#status");
for (const element of document.querySelectorAll("[data-word]")) put(element, words[element.dataset.word]);
document.title = "wsh-server " + words.console;
nav.setAttribute("aria-label", words.sections);

const live = new Live(pushed, (state) => {
  put(status, state === "open" ? words.live : words.lost);
  status.className = state;
  if (state === "open") for (const { view } of sections.values()) view.opened?.();
});

const sections = new Map();
const views = {
  connections: Connections, clients: Clients, faults: Faults, handlers: Handlers, numbers: Numbers, topics: Topics, store: Store, log: Log,
};
for (const [name, View] of Object.entries(views)) {
  const view = new View(live);
  const badge = el("span", { class: "badge" });
  const link = el("a", { href: "#/" + name }, words[name], badge);
  const heading = el("h2", { id: name + "-title" }, words[name]);
  const section = el("section", { id: name, "aria-labelledby": heading.id, hidden: true }, heading, view.element);
  view.onBadge = (text, isBad) => {
    put(badge, text);
    badge.classList.toggle("bad", Boolean(isBad));
  };
  nav.append(link);
  main.append(section);
  sections.set(name, { view, link, section });
}

function pushed(message) {
  for (const { view } of sections.values()) view[message.push]?.(message);
}

function choose() {
  const wanted = location.hash.slice(2).split("/")[0];
  const name = sections.has(wanted) ? wanted : "connections";
  for (const [known, { view, link, section }] of sections) {
    const isChosen = known === name;
    section.hidden = !isChosen;
    if (isChosen) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    else link.removeAttribute("aria-current");
    view.isShown = isChosen;
    if (isChosen) view.shown?.();
  }
}
addEventListener("hashchange", () => {
  choose();
  scrollTo(0, 0);
});
choose();
