// Follows an order to its end: by its stream of events, or by reading its history where there are no streams.

import { Problem, pause } from "./api.js";
import { closed } from "./journey.js";
import { eventsOf } from "./sse.js";

const READ_EVERY_MILLISECONDS = 2_000;
const MUTE_STREAMS = 2;
const LONGEST_PAUSE_MILLISECONDS = 5_000;
const HOPELESS = new Set([400, 401, 403, 404]);
const SAID_BY = { reserved: "stock", "delivery-arranged": "delivery" };

/**
 * Resolves once nothing more will happen to the order. Each move is told once, as soon as it is known;
 * `onWay` is told how: "live", "broken" (it is tried again) or "reading". Rejects where there is no such order.
 */
export async function follow(api, orderid, { signal, onMove, onWay }) {
  const told = { lastId: "", anything: false };
  for (let mute = 0, tries = 0; mute < MUTE_STREAMS; tries += 1) {
    told.anything = false;
    try {
      if (await stream(api, orderid, told, { signal, onMove, onWay })) return;
    } catch (error) {
      if (isOver(error, signal)) throw error;
      if (error.status === 501) break;
      // A gateway that is away for a while has no bearing on whether its streams get through.
      if (!told.anything && !(error instanceof Problem)) mute += 1;
    }
    if (told.anything) mute = tries = 0;
    onWay("broken");
    await pause(Math.min(250 * 2 ** tries, LONGEST_PAUSE_MILLISECONDS), signal);
  }
  await read(api, orderid, { signal, onMove, onWay });
}

/** Whether it was told the end. */
async function stream(api, orderid, told, { signal, onMove, onWay }) {
  const headers = told.lastId ? { "Last-Event-ID": told.lastId } : {};
  const answer = await api.stream(`/v1/orders/${encodeURIComponent(orderid)}/events`, headers, signal);
  if (answer.status === 204) return true;
  if (!answer.body) throw new Problem(501, "no-streams", "This browser reads no streams.");
  const heard = () => {
    told.anything = true;
    onWay("live");
  };
  for await (const event of eventsOf(answer.body, heard)) {
    told.lastId = event.id;
    if (event.name === "end") return true;
    if (event.name === "move") onMove(JSON.parse(event.data));
  }
  return false;
}

async function read(api, orderid, { signal, onMove, onWay }) {
  const told = new Set();
  for (;;) {
    onWay("reading");
    try {
      const { history } = await api.get(`/v1/orders/${encodeURIComponent(orderid)}/history`, signal);
      const moves = history.map(moveOf);
      for (const move of moves.filter((each) => !told.has(each.status))) {
        told.add(move.status);
        onMove(move);
      }
      const status = closed(moves);
      if (status && (status !== "approved" || told.has("delivery-arranged"))) return;
    } catch (error) {
      if (isOver(error, signal)) throw error;
      onWay("broken");
    }
    await pause(READ_EVERY_MILLISECONDS, signal);
  }
}

/** Whether there is no use in trying again. */
function isOver(error, signal) {
  return signal.aborted || (error instanceof Problem && HOPELESS.has(error.status));
}

/** What the ticket's history says, as the stream would have it. */
function moveOf({ status, time, cause }) {
  return { service: SAID_BY[status] ?? "purchase", status, time, ...(status === "canceled" ? { reason: cause } : {}) };
}
