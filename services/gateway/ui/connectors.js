// Draws the connectors of the timeline: a line from each event to the events that it caused.

import { svgElement } from "./dom.js";

const MAX_RADIUS = 14;

/** Redrawn whenever the timeline changes its size. */
export class Connectors {
  #paths = new Map();
  #connectors = [];

  constructor(timeline, canvas) {
    Object.assign(this, { timeline, canvas });
    new ResizeObserver(() => this.#redraw()).observe(timeline);
  }

  /** Show exactly these connectors, as `{key, kind, from, to}`; `from` and `to` are elements of the timeline. */
  draw(connectors) {
    this.#connectors = connectors;
    const keys = new Set(connectors.map(({ key }) => key));
    for (const [key, path] of this.#paths) {
      if (keys.has(key)) continue;
      path.remove();
      this.#paths.delete(key);
    }
    this.#redraw();
  }

  #redraw() {
    const canvas = this.canvas.getBoundingClientRect();
    const place = (element) => {
      const dot = element.querySelector(".dot").getBoundingClientRect();
      const gutter = element.getBoundingClientRect().right - canvas.x;
      return { x: dot.x + dot.width / 2 - canvas.x, y: dot.y + dot.height / 2 - canvas.y, gutter };
    };
    const isVertical = getComputedStyle(this.timeline).getPropertyValue("--vertical").trim() === "1";
    for (const { key, kind, from, to } of this.#connectors) {
      const path = this.#paths.get(key) ?? this.#add(key, kind);
      path.setAttribute("d", (isVertical ? down : across)(place(from), place(to)));
    }
  }

  #add(key, kind) {
    const path = svgElement("path", { class: "connector", pathLength: 1, data: { kind } });
    this.#paths.set(key, path);
    this.canvas.append(path);
    return path;
  }
}

/** From top to bottom: along the row of its cause, which has no other event, and down to its own. */
function down(from, to) {
  const way = to.x - from.x;
  const radius = Math.min(MAX_RADIUS, Math.abs(way), Math.abs(to.y - from.y));
  const corner = to.x - Math.sign(way) * radius;
  return `M${from.x} ${from.y}H${corner}Q${to.x} ${from.y} ${to.x} ${from.y + radius}V${to.y}`;
}

/** From left to right: up or down right after the column of its cause, so that it crosses no label. */
function across(from, to) {
  const { gutter } = from;
  const rise = to.y - from.y;
  const radius = Math.max(0, Math.min(MAX_RADIUS, Math.abs(rise) / 2, gutter - from.x, to.x - gutter));
  const bend = Math.sign(rise) * radius;
  const before = `M${from.x} ${from.y}H${gutter - radius}Q${gutter} ${from.y} ${gutter} ${from.y + bend}`;
  return `${before}V${to.y - bend}Q${gutter} ${to.y} ${gutter + radius} ${to.y}H${to.x}`;
}
