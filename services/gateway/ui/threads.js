// Draws the threads between the lanes: from each move to those that it caused.

import { drawing } from "./dom.js";

/** Lies under the lanes, and is drawn again whenever they change their size. */
export class Threads {
  #drawn = new Map();
  #wanted = [];

  constructor(lanes, canvas) {
    this.lanes = lanes;
    this.canvas = canvas;
    new ResizeObserver(() => this.#place()).observe(lanes);
  }

  /** Each `{name, kind, from, to}`: two places and what the thread is called. */
  draw(threads) {
    this.#wanted = threads;
    const names = new Set(threads.map((thread) => thread.name));
    for (const [name, path] of this.#drawn) {
      if (!names.has(name)) {
        path.remove();
        this.#drawn.delete(name);
      }
    }
    this.#place();
  }

  #place() {
    const box = this.canvas.getBoundingClientRect();
    const middle = (place) => {
      const dot = place.querySelector(".dot").getBoundingClientRect();
      return { x: dot.x + dot.width / 2 - box.x, y: dot.y + dot.height / 2 - box.y };
    };
    const isUpright = getComputedStyle(this.lanes).getPropertyValue("--upright").trim() === "1";
    for (const { name, kind, from, to } of this.#wanted) {
      const path = this.#drawn.get(name) ?? this.#add(name, kind, to.style.getPropertyValue("--delay"));
      path.setAttribute("d", curve(middle(from), middle(to), isUpright));
    }
  }

  #add(name, kind, delay) {
    const path = drawing("path", { class: "thread", pathLength: 1, data: { kind }, style: { "--delay": delay || "0ms" } });
    this.#drawn.set(name, path);
    this.canvas.append(path);
    return path;
  }
}

/** Leaves sideways, so that it runs beside what is written under a move, and arrives in the other's direction. */
function curve(from, to, isUpright) {
  if (isUpright) return `M${from.x} ${from.y}Q${to.x} ${from.y} ${to.x} ${to.y}`;
  const bend = (to.x - from.x) * 0.7;
  return `M${from.x} ${from.y}C${from.x + bend} ${from.y} ${to.x - bend} ${to.y} ${to.x} ${to.y}`;
}
