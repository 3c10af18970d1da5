// Elements, made without any markup: whatever a peer or a script has written stays text.

/** An element with properties, attributes and listeners, and what is in it. */
export function el(tag, properties = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...inside.flat().filter((part) => part !== null && part !== undefined));
  return element;
}

/** A field with its label. */
export function field(label, input, properties = {}) {
  return el("label", properties, el("span", {}, label), input);
}

/** Puts other things into an element, unless they are the same text. */
export function put(element, ...inside) {
  if (inside.length === 1 && typeof inside[0] === "string") {
    if (element.textContent !== inside[0]) element.textContent = inside[0];
  } else {
    element.replaceChildren(...inside.flat().filter((part) => part !== null && part !== undefined));
  }
}

/**
 * A table whose rows are kept by their keys, so that a focus or a selection outlives an update.
 * `columns` are [title, class]; `cells(item)` are texts or elements.
 */
export class Table {
  constructor(caption, columns, key, cells) {
    Object.assign(this, { columns, key, cells, rows: new Map() });
    const heads = columns.map(([title, kind]) => el("th", { scope: "col", class: kind ?? "" }, title));
    this.body = el("tbody");
    this.element = el("table", {},
      el("caption", { class: "unseen" }, caption), el("thead", {}, el("tr", {}, heads)), this.body);
  }

  show(items) {
    const seen = new Set();
    let before = null;
    for (const item of items) {
      const key = this.key(item);
      seen.add(key);
      let row = this.rows.get(key);
      const cells = this.cells(item, row);
      if (!row) {
        row = el("tr", {}, this.columns.map(([, kind]) => el("td", { class: kind ?? "" })));
        this.rows.set(key, row);
      }
      cells.forEach((cell, place) => {
        const data = row.children[place];
        if (typeof cell === "string") put(data, cell);
        else if (cell && data.firstChild !== cell) put(data, cell);
      });
      const place = before ? before.nextSibling : this.body.firstChild;
      if (place !== row) this.body.insertBefore(row, place);
      before = row;
    }
    for (const [key, row] of this.rows) {
      if (!seen.has(key)) {
        row.remove();
        this.rows.delete(key);
      }
    }
  }

  /** The element that a cell of this key has. */
  cell(key, place) {
    return this.rows.get(key)?.children[place].firstElementChild ?? null;
  }
}
