// Follows an order until nothing more will happen: by its event stream, or by polling if streams do not get through.

import { Problem, sleep } from "./api.js";
import { finalStatus, publisherOf } from "./saga-model.js";
import { readEvents } from "./sse.js";

const POLL_INTERVAL_MILLISECONDS = 2_000;
const MAX_SILENT_STREAMS = 2;
const INITIAL_BACKOFF_MILLISECONDS = 250;
const MAX_BACKOFF_MILLISECONDS = 5_000;
const PERMANENT_ERRORS = new Set([400, 401, 403, 404]);

/**
 * Resolve once the order is settled. `onEvent` is called with each event, and awaited before the next; `onConnection` with
 * "live", "reconnecting" or "polling". Reject if the order does not exist or `signal` aborts.
 */
export async function followOrder(api, orderid, options) {
  const path = `/v1/orders/${encodeURIComponent(orderid)}`;
  const position = { lastId: "", hasReceived: false };
  for (let silent = 0, attempt = 0; silent < MAX_SILENT_STREAMS; attempt += 1) {
    position.hasReceived = false;
    try {
      if (await readStream(api, path, position, options)) return;
    } catch (error) {
      if (isPermanent(error, options.signal)) throw error;
      if (error.status === 501) break;
      // An unavailable gateway (a Problem) does not tell whether its streams get through.
      if (!position.hasReceived && !(error instanceof Problem)) silent += 1;
    }
    if (position.hasReceived) silent = attempt = 0;
    options.onConnection("reconnecting");
    await sleep(Math.min(INITIAL_BACKOFF_MILLISECONDS * 2 ** attempt, MAX_BACKOFF_MILLISECONDS), options.signal);
  }
  await poll(api, path, options);
}

/** Return whether the order is settled; false if the stream ended before. */
async function readStream(api, path, position, { signal, onEvent, onConnection }) {
  const headers = position.lastId ? { "Last-Event-ID": position.lastId } : {};
  const response = await api.stream(`${path}/events`, headers, signal);
  if (response.status === 204) return true;
  if (!response.body) throw new Problem(501, "streams-unavailable", "This browser cannot read streams.");
  const onData = () => {
    position.hasReceived = true;
    onConnection("live");
  };
  for await (const { name, id, data } of readEvents(response.body, onData)) {
    position.lastId = id;
    if (name === "end") return true;
    if (name === "move") await onEvent(JSON.parse(data));
  }
  return false;
}

async function poll(api, path, { signal, onEvent, onConnection }) {
  const seen = new Set();
  for (;;) {
    onConnection("polling");
    try {
      const { history } = await api.get(`${path}/history`, signal);
      const events = history.map(toEvent);
      for (const event of events.filter(({ status }) => !seen.has(status))) {
        seen.add(event.status);
        await onEvent(event);
      }
      const final = finalStatus(events);
      if (final && (final !== "approved" || seen.has("delivery-arranged"))) return;
    } catch (error) {
      if (isPermanent(error, signal)) throw error;
      onConnection("reconnecting");
    }
    await sleep(POLL_INTERVAL_MILLISECONDS, signal);
  }
}

const isPermanent = (error, signal) =>
  signal.aborted || (error instanceof Problem && PERMANENT_ERRORS.has(error.status));

/** Convert an entry of the ticket's history to the event that the stream would have sent. */
const toEvent = ({ status, time, cause }) =>
  ({ service: publisherOf(status), status, time, ...(status === "canceled" ? { reason: cause } : {}) });
