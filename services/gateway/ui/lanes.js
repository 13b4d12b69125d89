// Draws the moves of an order: a lane for each service, a place in it for each move, in the order of time.

import { byId, drawing, element, unseen } from "./dom.js";
import { awaited, causeOf, gapOf, traceOf, wordOf } from "./journey.js";
import { Threads } from "./threads.js";
import { capital, duration, DUTIES, meaning, moment, SERVICES } from "./words.js";

// The way of an order that is approved: each service, and after which of those before it.
const USUALLY = [["purchase"], ["stock", 0], ["payment", 1], ["purchase", 2], ["stock", 3], ["payment", 3], ["delivery", 3]];
// What comes at once is seen one after the other; what is said of it, and its times, are true.
const PACE_MILLISECONDS = 120;
const FAILED = new Set(["reserve-failed", "payment-failed", "canceled"]);
const GIVEN_BACK = new Set(["stock.released", "payment.canceled"]);
const GLYPHS = { good: "M5 9.500 8 12.500 13.500 6", bad: "M6 6 12 12M12 6 6 12", back: "M7 6H10.500A3 3 0 0 1 10.500 12H6M7.500 3.800 5.200 6 7.500 8.200" };

/** What kind of news a move is. */
function kindOf(move) {
  if (GIVEN_BACK.has(wordOf(move))) return "back";
  return FAILED.has(move.status) ? "bad" : "good";
}

/** The four lanes, empty at first. */
export class Lanes {
  #lanes = new Map();
  #places = new Map();
  #usual = [];
  #seenUntil = 0;
  #threads = new Threads(byId("lanes"), byId("threads"));

  /** `linkOf` gives the address at which a trace can be looked at, or undefined. */
  constructor(linkOf) {
    this.linkOf = linkOf;
    for (const service of SERVICES) this.#addLane(service);
    this.#usual = USUALLY.map(([service], index) => this.#addUsual(service, index + 1));
  }

  /** Where something about a service can be put. */
  headOf(service) {
    return this.#lanes.get(service).querySelector(".lane-head");
  }

  /** No moves any more; `isAwaited`: there will be some. */
  clear(isAwaited) {
    byId("lanes").dataset.empty = !isAwaited;
    for (const place of this.#places.values()) place.remove();
    this.#places.clear();
    this.#seenUntil = 0;
    this.show([], false);
  }

  /** Draws what is not drawn yet; `moves` are in the order of time. Who is waited for is shown as well. */
  show(moves, isOver) {
    const next = isOver || !moves.length ? [] : awaited(moves);
    byId("lanes").style.setProperty("--places", Math.max(USUALLY.length, moves.length + (next.length ? 1 : 0)));
    moves.forEach((move, index) => this.#draw(move, index, moves));
    for (const [service, lane] of this.#lanes) {
      this.#sort(service, moves);
      const waiting = lane.querySelector(".awaited");
      waiting.hidden = !next.includes(service);
      waiting.style.setProperty("--place", moves.length + 1);
    }
    const isEmpty = byId("lanes").dataset.empty === "true";
    this.#threads.draw(isEmpty ? this.#usualThreads() : moves.flatMap((move) => this.#threadOf(move, moves)));
  }

  #usualThreads() {
    return USUALLY.flatMap(([, cause], index) =>
      cause === undefined ? [] : [{ name: `usual ${index}`, kind: "usual", from: this.#usual[cause], to: this.#usual[index] }],
    );
  }

  #threadOf(move, moves) {
    const cause = causeOf(move, moves);
    if (!cause) return [];
    const [from, to] = [this.#places.get(wordOf(cause)), this.#places.get(wordOf(move))];
    return [{ name: wordOf(move), kind: kindOf(move), from, to }];
  }

  #draw(move, index, moves) {
    const place = this.#places.get(wordOf(move)) ?? this.#addPlace(move);
    place.style.setProperty("--place", index + 1);
    const gap = gapOf(move, moves);
    const after = place.querySelector(".gap");
    if (gap !== undefined) after.replaceChildren(unseen(", after "), `${duration(gap)}`);
    const address = this.linkOf(traceOf(move, moves));
    if (address && !place.querySelector(".trace")) place.append(linkTo(address, move));
  }

  /** A list is read in the order of its children, whatever their places. */
  #sort(service, moves) {
    const list = this.#lanes.get(service).querySelector(".places");
    const places = moves.filter((move) => move.service === service).map((move) => this.#places.get(wordOf(move)));
    const wanted = [...places, list.querySelector(".awaited")];
    if (wanted.some((place, index) => list.children[index] !== place)) list.prepend(...wanted);
  }

  #addPlace(move) {
    const kind = kindOf(move);
    const place = element(
      "li",
      {
        class: "place",
        data: { move: wordOf(move), kind },
        style: { "--delay": `${this.#pace()}ms` },
        title: `${meaning(move)} ${moment(move.time)}`,
      },
      dot(GLYPHS[kind]),
      element("span", { class: "word" }, move.status),
      element("span", { class: "gap" }),
    );
    this.#places.set(wordOf(move), place);
    this.#lanes.get(move.service).querySelector(".awaited").before(place);
    return place;
  }

  /** Milliseconds until the next move is to be seen. */
  #pace() {
    const now = performance.now();
    const delay = Math.max(0, this.#seenUntil - now);
    this.#seenUntil = now + delay + PACE_MILLISECONDS;
    return Math.round(delay);
  }

  #addUsual(service, place) {
    const usual = element("li", { class: "place usual", "aria-hidden": "true", style: { "--place": place } }, dot(""));
    this.#lanes.get(service).querySelector(".places").append(usual);
    return usual;
  }

  #addLane(service) {
    const lane = element(
      "li",
      { class: "lane", data: { service } },
      element(
        "div",
        { class: "lane-head" },
        element("h3", { id: `lane-${service}` }, capital(service)),
        element("p", { class: "duty" }, DUTIES[service]),
      ),
      element(
        "ol",
        { class: "places", "aria-labelledby": `lane-${service}` },
        element("li", { class: "place awaited", hidden: true }, dot(""), element("span", { class: "word" }, "waiting")),
      ),
    );
    this.#lanes.set(service, lane);
    byId("lanes").append(lane);
  }
}

function linkTo(address, move) {
  const given = { class: "trace", href: address, target: "_blank", rel: "noreferrer" };
  return element("a", given, "trace", unseen(` of ${move.service} ${move.status}`));
}

function dot(d) {
  return drawing("svg", { class: "dot", viewBox: "0 0 18 18", "aria-hidden": "true" }, drawing("circle", { cx: 9, cy: 9, r: 8 }), drawing("path", { d }));
}
