// Reads server-sent events with fetch: unlike EventSource it can send a bearer token.

// Longer than the interval of the server's keep-alive comments.
const TIMEOUT_MILLISECONDS = 30_000;

/** Parses a stream's text, given in chunks cut anywhere. */
export class EventParser {
  #rest = "";
  #event = emptyEvent();
  #lastId = "";

  /** Return the events that `chunk` completes, as `{name, id, data}`. */
  push(chunk) {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop();
    return lines.flatMap((line) => this.#parseLine(line.replace(/\r$/, "")));
  }

  #parseLine(line) {
    if (line === "") return this.#dispatch();
    if (line.startsWith(":")) return [];
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#event.name = value;
    if (field === "data") this.#event.data.push(value);
    if (field === "id") this.#lastId = value;
    return [];
  }

  #dispatch() {
    const { name, data } = this.#event;
    this.#event = emptyEvent();
    return data.length ? [{ name, id: this.#lastId, data: data.join("\n") }] : [];
  }
}

/**
 * Yield the events of a response body until it ends. `onData` is called for each chunk, keep-alive comments included.
 * Throws if nothing arrives for 30 s.
 */
export async function* readEvents(body, onData) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await withTimeout(reader.read());
      if (done) return;
      onData();
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

const emptyEvent = () => ({ name: "message", data: [] });

function withTimeout(promise) {
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("stream timed out")), TIMEOUT_MILLISECONDS);
  });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}
