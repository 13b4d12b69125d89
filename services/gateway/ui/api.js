// Talks to the gateway: on whose behalf, how often it tries, and what a refusal says.

const TRIES = 4;
const AGAIN = new Set([429, 502, 503, 504]);
const LONGEST_PAUSE_SECONDS = 5;

/** A request that was refused; status 0: nobody answered. */
export class Problem extends Error {
  constructor(status, reason, detail) {
    super(detail);
    this.status = status;
    this.reason = reason;
  }
}

/** A key under which a request is done once, however often it is sent; also where there is no https. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The gateway that has sent this page. */
export class Api {
  /** `token` gives the bearer's token, or null; `onUnknown` is called when it is no good. */
  constructor(token, onUnknown) {
    this.token = token;
    this.onUnknown = onUnknown;
  }

  get(path, signal) {
    return this.#insist("GET", path, undefined, {}, signal);
  }

  /** Done once, although it may be sent several times. */
  change(method, path, body) {
    return this.#insist(method, path, body, { "Idempotency-Key": newKey() });
  }

  /** A question that is asked by POST, as the older half of the API has it. */
  ask(path, body, signal) {
    return this.#insist("POST", path, body, {}, signal);
  }

  /** Sent once: what is to stop or start a service. */
  steer(method, path) {
    return this.#send(method, path, undefined, { "X-Saga-Page": "1" }).then((answer) => answer.json());
  }

  /** An answer as it comes. */
  stream(path, headers, signal) {
    return this.#send("GET", path, undefined, { Accept: "text/event-stream", ...headers }, signal);
  }

  async #insist(method, path, body, headers, signal) {
    for (let left = TRIES - 1; ; left -= 1) {
      try {
        const answer = await this.#send(method, path, body, headers, signal);
        return await answer.json();
      } catch (error) {
        if (!(error instanceof Problem) || left === 0 || !(error.status === 0 || AGAIN.has(error.status))) throw error;
        await pause(Math.min(error.retryAfterSeconds ?? 0.5, LONGEST_PAUSE_SECONDS) * 1000, signal);
      }
    }
  }

  async #send(method, path, body, headers, signal) {
    const token = this.token();
    const answer = await fetch(path, {
      method,
      signal,
      cache: "no-store",
      headers: {
        ...headers,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(token ? { Authorization: `Bearer ${token}` } : {}),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    }).catch((error) => {
      if (signal?.aborted) throw error;
      throw new Problem(0, "no-answer", "The gateway does not answer.");
    });
    if (answer.ok) return answer;
    if (answer.status === 401) this.onUnknown();
    throw await problemOf(answer);
  }
}

/** Resolves after that; rejects when it is called off before. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

async function problemOf(answer) {
  const said = await answer.json().catch(() => ({}));
  const problem = new Problem(answer.status, said.reason ?? "unknown", said.detail ?? answer.statusText);
  problem.retryAfterSeconds = Number(answer.headers.get("Retry-After")) || undefined;
  return problem;
}
