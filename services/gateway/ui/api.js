// HTTP client for the gateway: token, retries, idempotency keys and errors.

const MAX_ATTEMPTS = 4;
const RETRYABLE_STATUSES = new Set([429, 502, 503, 504]);
const RETRY_SECONDS = 0.5;
const MAX_RETRY_SECONDS = 5;

/** A failed request; status 0 if no response arrived. */
export class Problem extends Error {
  constructor(status, reason, detail, retryAfterSeconds) {
    super(detail);
    Object.assign(this, { status, reason, retryAfterSeconds });
  }

  get isRetryable() {
    return this.status === 0 || RETRYABLE_STATUSES.has(this.status);
  }
}

/** A random idempotency key. `crypto.randomUUID` exists only over HTTPS and on localhost. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Api {
  /** `token` returns the bearer token or null; `onUnauthorized` is called if the gateway rejects it. */
  constructor(token, onUnauthorized) {
    Object.assign(this, { token, onUnauthorized });
  }

  get(path, signal) {
    return this.#retry("GET", path, undefined, {}, signal);
  }

  /** Send a change; the idempotency key has retries applied once, those of later calls with the same `key`, too. */
  change(method, path, body, key = newKey()) {
    return this.#retry(method, path, body, { "Idempotency-Key": key });
  }

  /** Read by POST, as in the /purchase/api style of routes. */
  query(path, body, signal) {
    return this.#retry("POST", path, body, {}, signal);
  }

  /** Query, stop or start services; sent once. */
  control(method, path) {
    return this.#send(method, path, undefined, { "X-Saga-Page": "1" }).then((response) => response.json());
  }

  /** Return the response as soon as its headers arrive. */
  stream(path, headers, signal) {
    return this.#send("GET", path, undefined, { Accept: "text/event-stream", ...headers }, signal);
  }

  async #retry(method, path, body, headers, signal) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const response = await this.#send(method, path, body, headers, signal);
        return await response.json();
      } catch (error) {
        if (!error.isRetryable || attempt === MAX_ATTEMPTS) throw error;
        await sleep(Math.min(error.retryAfterSeconds ?? RETRY_SECONDS, MAX_RETRY_SECONDS) * 1000, signal);
      }
    }
  }

  async #send(method, path, body, headers, signal) {
    const token = this.token();
    const response = await fetch(path, {
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
      throw new Problem(0, "no-response", "The gateway does not respond. Check that it is running, then try again.");
    });
    if (response.ok) return response;
    if (response.status === 401) this.onUnauthorized();
    throw await toProblem(response);
  }
}

/** Resolve after `milliseconds`; reject as soon as `signal` aborts. */
export function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}

async function toProblem(response) {
  const { reason = "unknown", detail = response.statusText } = await response.json().catch(() => ({}));
  return new Problem(response.status, reason, detail, Number(response.headers.get("Retry-After")) || undefined);
}
