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
      const path = this.#drawn.get(name) ?? this.#add(name, kind);
      path.setAttribute("d", curve(middle(from), middle(to), isUpright));
    }
  }

  #add(name, kind) {
    const path = drawing("path", { class: "thread", pathLength: 1, data: { kind } });
    this.#drawn.set(name, path);
    this.canvas.append(path);
    return path;
  }
}

/** Leaves along the lane, arrives along the other. */
function curve(from, to, isUpright) {
  const [dx, dy] = [(to.x - from.x) / 2, (to.y - from.y) / 2];
  const bends = isUpright
    ? `${from.x} ${from.y + dy} ${to.x} ${to.y - dy}`
    : `${from.x + dx} ${from.y} ${to.x - dx} ${to.y}`;
  return `M${from.x} ${from.y}C${bends} ${to.x} ${to.y}`;
}
