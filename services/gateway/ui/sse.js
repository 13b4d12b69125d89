// Reads server-sent events from a fetch, which unlike EventSource can carry a token.

const SILENCE_MILLISECONDS = 30_000;

/** Takes a stream's text piece by piece, cut anywhere, and gives the events that are complete. */
export class EventParser {
  #rest = "";
  #event = blank();
  #lastId = "";

  push(text) {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop();
    return lines.flatMap((line) => this.#take(line.replace(/\r$/, "")));
  }

  #take(line) {
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
    this.#event = blank();
    return data.length ? [{ name, id: this.#lastId, data: data.join("\n") }] : [];
  }
}

/**
 * The events of a stream until it ends; `onHeard` is called whenever anything arrives, comments too.
 * A silence that is longer than any of the server's is an error.
 */
export async function* eventsOf(body, onHeard) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await withinSilence(reader.read());
      if (done) return;
      onHeard();
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function blank() {
  return { name: "message", data: [] };
}

function withinSilence(reading) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("the stream fell silent")), SILENCE_MILLISECONDS);
  });
  return Promise.race([reading, silence]).finally(() => clearTimeout(timer));
}
