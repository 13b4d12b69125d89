// Draws the connectors of the timeline: a line from each event to the events that it caused.

import { svgElement } from "./dom.js";

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
    const center = (element) => {
      const dot = element.querySelector(".dot").getBoundingClientRect();
      return { x: dot.x + dot.width / 2 - canvas.x, y: dot.y + dot.height / 2 - canvas.y };
    };
    const isVertical = getComputedStyle(this.timeline).getPropertyValue("--vertical").trim() === "1";
    for (const { key, kind, from, to } of this.#connectors) {
      const path = this.#paths.get(key) ?? this.#add(key, kind, to.style.getPropertyValue("--delay"));
      path.setAttribute("d", curve(center(from), center(to), isVertical));
    }
  }

  #add(key, kind, delay) {
    const style = { "--delay": delay || "0ms" };
    const path = svgElement("path", { class: "connector", pathLength: 1, data: { kind }, style });
    this.#paths.set(key, path);
    this.canvas.append(path);
    return path;
  }
}

/** Starts sideways, so that it does not cross the label below an event. */
function curve(from, to, isVertical) {
  if (isVertical) return `M${from.x} ${from.y}Q${to.x} ${from.y} ${to.x} ${to.y}`;
  const bend = (to.x - from.x) * 0.7;
  return `M${from.x} ${from.y}C${from.x + bend} ${from.y} ${to.x - bend} ${to.y} ${to.x} ${to.y}`;
}
