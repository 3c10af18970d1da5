// A plot of the last minutes: a few lines of SVG.

import { el, put } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600, HEIGHT = 140, POINTS = 120;

function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** `lines` are [name, class]; `show(number)` is a number as people read it; `isLog` for times. */
export class Plot {
  constructor(title, lines, show, isLog = false) {
    Object.assign(this, { lines, show, isLog });
    this.points = [];
    this.paths = lines.map(([, kind]) => svg("path", { class: "line " + kind, "vector-effect": "non-scaling-stroke" }));
    this.svg = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", preserveAspectRatio: "none" });
    for (const part of [0, 0.5, 1]) {
      const y = part * (HEIGHT - 2) + 1;
      this.svg.append(svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y, "vector-effect": "non-scaling-stroke" }));
    }
    this.svg.append(...this.paths);
    this.title = title;
    this.top = el("span", { class: "top soft" });
    this.legend = lines.map(([name, kind]) => {
      const value = el("b", {});
      return { value, element: el("span", { class: "key-of " + kind }, name, " ", value) };
    });
    this.element = el("figure", { class: "plot" },
      el("figcaption", {}, el("strong", {}, title), this.legend.map(({ element }) => element)),
      el("div", { class: "area" }, this.top, this.svg));
  }

  /** Adds the values of a moment; nothing where there is none. */
  add(values) {
    this.points.push(values);
    if (this.points.length > POINTS) this.points.shift();
    this.draw();
  }

  draw() {
    const all = this.points.flat().filter((value) => value !== null);
    const most = Math.max(this.isLog ? 1e-5 : 1, ...all);
    const least = this.isLog ? Math.min(most / 10, ...all.filter((value) => value > 0)) / 2 : 0;
    const height = (value) => {
      const part = this.isLog ? Math.log(Math.max(value, least) / least) / Math.log(most / least) : value / most;
      return HEIGHT - 1 - part * (HEIGHT - 2);
    };
    const from = POINTS - this.points.length;
    this.paths.forEach((path, line) => {
      let pen = "M", drawn = "";
      this.points.forEach((values, place) => {
        if (values[line] === null) return (pen = "M");
        const x = (from + place) * WIDTH / (POINTS - 1);
        drawn += pen + x.toFixed(1) + " " + height(values[line]).toFixed(1);
        // A moment by itself is a dot.
        if (pen === "M") drawn += "h.1";
        pen = "L";
      });
      path.setAttribute("d", drawn);
    });
    const last = this.points.at(-1);
    const texts = this.lines.map(([name], line) => {
      const text = last[line] === null ? "–" : this.show(last[line]);
      put(this.legend[line].value, text);
      return name + " " + text;
    });
    put(this.top, all.length ? this.show(most) : "");
    this.svg.setAttribute("aria-label", this.title + ": " + texts.join(", "));
  }
}
