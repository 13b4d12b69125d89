"""The web UI's modules without its page: the parser of streams, delays, and the model of an order."""

from contract.tickets import CAUSES

CHUNKS = [
    "retry: 1000\n\nevent: mo",
    "ve\nid: a.b\nda",
    'ta: {"n":1}\n',
    "\n: keep-alive\n\n",
    'event: end\r\nid: a.b,end\r\ndata: {"x":',
    '"ü"}\r\n\r\nevent: move\nid: lost\n',
]


def evaluate(visitor, module: str, expression: str, argument):
    """Return what a JavaScript function that uses the module as `m` returns for the argument."""
    load = f"const m = await import('/ui/{module}')"
    return visitor.page.evaluate(
        f"async (argument) => {{ {load}; return ({expression})(argument); }}", argument
    )


def test_stream_is_parsed_however_it_is_cut(visit):
    visitor = visit()
    parse = "(chunks) => { const p = new m.EventParser(); return chunks.flatMap((each) => p.push(each)); }"

    results = [evaluate(visitor, "sse.js", parse, chunks) for chunks in (CHUNKS, list("".join(CHUNKS)))]

    expected = [
        {"name": "move", "id": "a.b", "data": '{"n":1}'},
        {"name": "end", "id": "a.b,end", "data": '{"x":"ü"}'},
    ]
    assert results == [expected, expected]


COUNT_LISTENERS = """async (abort) => {
  const controller = new AbortController(), { signal } = controller, listeners = new Set();
  const { addEventListener: add, removeEventListener: remove } = signal;
  signal.addEventListener = (name, listener, ...rest) => {
    listeners.add(listener);
    add.call(signal, name, listener, ...rest);
  };
  signal.removeEventListener = (name, listener, ...rest) => {
    listeners.delete(listener);
    remove.call(signal, name, listener, ...rest);
  };
  if (abort === "before") controller.abort("gone");
  const sleeping = m.sleep(abort === "never" ? 1 : 60_000, signal).then(() => "slept", (reason) => reason);
  if (abort === "during") controller.abort("gone");
  return [await sleeping, abort === "never" ? listeners.size : 0];
}"""


def test_delay_leaves_no_listener_and_ends_when_it_is_aborted(visit):
    visitor = visit()

    results = [evaluate(visitor, "api.js", COUNT_LISTENERS, abort) for abort in ("never", "during", "before")]

    assert results == [["slept", 0], ["gone", 0], ["gone", 0]]


def test_awaited_services_follow_from_the_events(visit):
    reserved = "purchase.pre-approved stock.reserved"
    cases = {
        "": ["purchase"],
        "purchase.pre-approved": ["stock"],
        reserved: ["payment"],
        "purchase.pre-approved stock.paid": ["purchase"],
        "purchase.pre-approved stock.reserve-failed": ["purchase"],
        f"{reserved} payment.paid": ["purchase"],
        f"{reserved} payment.paid purchase.approved": ["stock", "payment", "delivery"],
        "purchase.pre-approved stock.paid purchase.approved stock.sold": ["delivery"],
        "purchase.pre-approved purchase.canceled": ["stock", "payment"],
        "purchase.pre-approved stock.reserve-failed purchase.canceled": ["payment"],
        "purchase.pre-approved stock.reserve-failed purchase.reserve-failed": [],
        f"{reserved} payment.payment-failed purchase.payment-failed": ["stock"],
        f"{reserved} payment.payment-failed purchase.payment-failed stock.released": [],
    }

    awaited = evaluate(
        visit(), "saga-model.js", "(cases) => cases.map(m.awaitedServices)", [events(keys) for keys in cases]
    )

    assert dict(zip(cases, awaited, strict=True)) == cases


def test_latency_is_counted_from_the_cause_and_never_negative(visit):
    order = events(
        "purchase.pre-approved stock.reserved payment.paid purchase.approved stock.sold payment.settled"
    )
    order[-1]["time"] = "2026-11-21T11:59:59.000Z"  # Payment's clock is slow.

    function = "(events) => events.map((each) => m.latencyOf(each, events))"
    latencies = evaluate(visit(), "saga-model.js", function, order)

    assert latencies == [None, 10, 10, 10, 10, 0]


def test_event_without_a_trace_belongs_to_the_trace_of_its_cause(visit):
    order = events("purchase.pre-approved stock.reserved payment.paid purchase.approved stock.sold")
    order[0]["trace_id"], order[2]["trace_id"] = "a", "b"

    traces = evaluate(
        visit(), "saga-model.js", "(events) => events.map((each) => m.traceOf(each, events))", order
    )

    assert traces == ["a", "a", "b", "b", "b"]


def test_compensations_differ_from_failures(visit):
    kinds = {
        "stock.reserved": "success",
        "purchase.canceled": "failure",
        "stock.reserve-failed": "failure",
        "stock.released": "compensation",
        "payment.canceled": "compensation",
    }

    found = evaluate(visit(), "saga-model.js", "(events) => events.map(m.kindOf)", events(" ".join(kinds)))

    assert dict(zip(kinds, found, strict=True)) == kinds


def test_every_event_has_a_description(visit):
    descriptions = evaluate(
        visit(), "format.js", "(events) => events.map(m.describe)", events(" ".join(CAUSES))
    )

    assert all(descriptions), dict(zip(CAUSES, descriptions, strict=True))


def events(keys: str) -> list[dict[str, str]]:
    """Return events 10 ms apart."""
    return [
        dict(zip(("service", "status"), key.split("."), strict=True))
        | {"time": f"2026-11-21T12:00:00.{number * 10:03}Z"}
        for number, key in enumerate(keys.split())
    ]
