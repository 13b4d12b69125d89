"""Requests: malformed, unknown and forbidden ones for every route; and the whole course of two carts."""

from typing import Any

LEGACY = {
    "/purchase/api/create_cart": {"cartid": "x"},
    "/purchase/api/get_cart": {"cartid": "x"},
    "/purchase/api/add_item": {"cartid": "x", "itemid": "blue", "count": 3},
    "/purchase/api/remove_item": {"cartid": "x", "itemid": "blue"},
    "/purchase/api/get_cart_contents": {"cartid": "x"},
    "/purchase/api/close_cart": {"cartid": "x"},
    "/purchase/api/checkout": {"cartid": "x"},
    "/purchase/api/get_order_ticket": {"orderid": "x"},
    "/purchase/api/cancel_order": {"orderid": "x"},
    "/purchase/api/get_order_history": {"orderid": "x"},
    "/payment/api/get_payment": {"orderid": "x"},
    "/delivery/api/get_delivery": {"orderid": "x"},
    "/stock/api/get_item": {"itemid": "x"},
    "/stock/api/list_items": {"page_size": 1, "page_token": ""},
}
RESOURCES = (
    "PUT /v1/carts/{}",
    "GET /v1/carts/{}",
    "PUT /v1/carts/{}/items/blue",
    "DELETE /v1/carts/{}/items/blue",
    "POST /v1/carts/{}:close",
    "POST /v1/carts/{}:checkout",
    "GET /v1/orders/{}",
    "POST /v1/orders/{}:cancel",
    "GET /v1/orders/{}/history",
    "GET /v1/orders/{}/events",
    "GET /v1/items/{}",
    "GET /v1/items",
)
MALFORMED = (
    "",
    "{",
    "[]",
    "null",
    '"x"',
    "cartid=x",
    b'{"cartid":"\xff"}',
    '{"cartid":"x"} {}',
    "[" * 60_000,
)
VALUES = ("1", "null", '["x"]', '""', '"a b"', '"a/b"', '"a\\n"', '"\\u00e4"', f'"{"a" * 129}"')
COUNTS = ('"3"', "3.0", "3.5", "true", "null", "NaN", "0", "-1", "1000001", "9" * 4_000)
PAGES = ("page_size=0", "page_size=101", "page_size=x", "page_token=%C3%A4", f"page_token={'a' * 129}")
WAITS = ("-1", "61", "x", "nan", "inf", "")
PRECONDITIONS = ("If-Match", "If-None-Match")
KEYS = ("", '""', '"a', "a b", "x" * 129, "a:b")


def legacy() -> list[tuple[str, str, Any, Any]]:
    """Case, request line, body, headers."""
    cases: list[tuple[str, str, Any, Any]] = []
    for path, body in LEGACY.items():
        line, first = f"POST {path}", next(iter(body))
        if first != "page_size" and not path.endswith("create_cart"):
            cases.append(("an id that is unknown", line, body, ()))
        cases += [
            ("no JSON", line, "{", ()),
            ("nothing in it", line, "{}", ()),
            ("an unknown field", line, {**body, "color": "red"}, ()),
            ("another type", line, {**body, first: ["x"]}, ()),
            ("another method", f"GET {path}", None, ()),
            ("too large", line, "x" * 65_537, ()),
        ]
    create, add = "POST /purchase/api/create_cart", "POST /purchase/api/add_item"
    cases += [("malformed", create, each, ()) for each in MALFORMED]
    cases += [("a bad id", create, f'{{"cartid":{each}}}', ()) for each in VALUES]
    cases += [("a bad count", add, f'{{"cartid":"x","itemid":"blue","count":{n}}}', ()) for n in COUNTS]
    cases += [
        ("two bad fields", add, '{"cartid":1,"itemid":2}', ()),
        ("twelve bad fields", create, {f"f{n}": n for n in range(12)}, ()),
        ("a bad commandid", add, {"cartid": "x", "itemid": "blue", "count": 1, "commandid": "?"}, ()),
        ("a bad page size", "POST /stock/api/list_items", {"page_size": 101}, ()),
        ("a bad page token", "POST /stock/api/list_items", {"page_token": 1}, ()),
        ("a form's content type", create, '{"cartid":"L-form"}', _typed("application/x-www-form-urlencoded")),
        ("plain text's", create, '{"cartid":"L-text"}', _typed("text/plain")),
        ("no content type", create, '{"cartid":"L-none"}', _typed("x")),
        ("a slash too many", create + "/", {"cartid": "x"}, ()),
        ("not exposed", "POST /stock/api/put_item", {"itemid": "blue"}, ()),
        ("not exposed", "POST /stock/api/get_reservation", {"orderid": "x"}, ()),
    ]
    return cases


def resources() -> list[tuple[str, str, Any, Any]]:
    cases: list[tuple[str, str, Any, Any]] = []
    for template in RESOURCES:
        method, _, path = template.partition(" ")
        body = {"count": 1} if "/items/blue" in path and method == "PUT" else None
        if "{}" in path:
            if template != RESOURCES[0]:
                cases.append(("an id that is unknown", template.format("x"), body, ()))
            cases += [
                ("a bad id", template.format("%C3%A4"), body, ()),
                ("too long an id", template.format("a" * 129), body, ()),
            ]
        cases.append(("another method", f"PATCH {path.format('x')}", None, ()))
        cases.append(("HEAD", f"HEAD {path.format('x')}", None, ()))
        if method != "GET":
            cases += [("a bad key", template.format("x"), body, [("Idempotency-Key", key)]) for key in KEYS]
            cases += [
                (
                    "two keys",
                    template.format("x"),
                    body,
                    [("Idempotency-Key", "a"), ("Idempotency-Key", "b")],
                ),
                *(("a precondition", template.format("x"), body, {name: '"x"'}) for name in PRECONDITIONS),
                ("too large", template.format("x"), "x" * 65_537, ()),
                ("no JSON", template.format("x"), "{", ()),
                ("an unknown field", template.format("x"), {**(body or {}), "color": "red"}, ()),
            ]
    item = "PUT /v1/carts/x/items/blue"
    cases += [("a bad count", item, f'{{"count":{each}}}', ()) for each in (*COUNTS, '"x"')]
    cases += [("no count", item, each, ()) for each in ("", "{}", *MALFORMED[:6])]
    cases += [("a bad page", f"GET /v1/items?{each}", None, ()) for each in PAGES]
    cases += [("an unknown parameter", "GET /v1/items?page_size=1&color=red", None, ())]
    cases += [("a bad wait", f"GET /v1/orders/x?wait={each}", None, ()) for each in WAITS]
    cases += [
        ("an unknown action", "POST /v1/carts/x:open", None, ()),
        ("a slash too many", "GET /v1/items/", None, ()),
        ("no item", "PUT /v1/carts/x/items/", {"count": 1}, ()),
    ]
    return cases


def gateway() -> list[tuple[str, str, Any, Any]]:
    html = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
    return [
        ("the name", "GET /", None, ()),
        ("any type", "GET /", None, {"Accept": "*/*"}),
        ("HTML preferred less", "GET /", None, {"Accept": "text/html;q=0.5, text/plain"}),
        ("a browser", "GET /", None, html),
        ("another method", "POST /", None, ()),
        ("alive", "GET /healthz", None, ()),
        ("another method", "POST /healthz", None, ()),
        ("ready", "GET /readyz", None, ()),
        ("ready, all of it", "GET /readyz?all=true", None, ()),
        ("not all of it", "GET /readyz?all=false", None, ()),
        ("neither", "GET /readyz?all=1", None, ()),
        ("unknown path", "GET /no/such/path", None, ()),
        ("unknown path", "POST /v1/nothing", None, ()),
        ("the document", "GET /openapi.json", None, ()),
        ("the events", "GET /asyncapi.json", None, ()),
        ("its page", "GET /docs", None, ()),
        ("not there", "GET /redoc", None, ()),
        ("the page", "GET /ui", None, ()),
        ("the page", "HEAD /ui", None, ()),
        ("the configuration", "GET /ui/config", None, ()),
        ("the configuration on this machine", "GET /ui/config", None, {"Host": "127.0.0.1:8080"}),
        ("no file", "GET /ui/nothing.js", None, ()),
        ("no services to control", "GET /ui/services", None, ()),
        ("another origin", "GET /v1/items?page_size=1", None, {"Origin": "https://shop.example"}),
    ]


def _typed(content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type}


# The course of a cart until it is an order, and afterwards: case, operation or request, body, key.
_CART, _TWO, _BLUE, _RED = {"cartid": "L1"}, {"cartid": "L2"}, {"itemid": "blue"}, {"itemid": "red"}
LEGACY_CART: tuple[tuple[str, str, Any], ...] = (
    ("a new cart", "create_cart", _CART),
    ("the same cart", "create_cart", _CART),
    ("an empty cart", "get_cart", _CART),
    ("an empty cart", "get_cart_contents", _CART),
    ("not closed", "checkout", _CART),
    ("three blue", "add_item", {**_CART, **_BLUE, "count": 3, "commandid": "one"}),
    ("repeated", "add_item", {**_CART, **_BLUE, "count": 3, "commandid": "one"}),
    ("under a used name", "add_item", {**_CART, **_BLUE, "count": 4, "commandid": "one"}),
    ("one red", "add_item", {**_CART, **_RED, "count": 1}),
    ("too many", "add_item", {**_CART, **_BLUE, "count": 1_000_000}),
    ("gone again", "remove_item", _CART | _RED),
    ("not in it", "remove_item", _CART | _RED),
    ("what is in it", "get_cart_contents", _CART),
    ("closed", "close_cart", _CART),
    ("closed again", "close_cart", _CART),
    ("it is closed", "add_item", {**_CART, **_BLUE, "count": 1}),
    ("it is closed", "remove_item", _CART | _BLUE),
    ("an order", "checkout", _CART),
)
LEGACY_ORDER = (
    ("approved", "get_order_ticket"),
    ("approved", "get_order_history"),
    ("settled", "get_payment"),
    ("arranged", "get_delivery"),
    ("it has ended", "cancel_order"),
)
LEGACY_AFTERWARDS: tuple[tuple[str, str, Any], ...] = (
    ("the same order", "checkout", _CART),
    ("it is checked out", "close_cart", _CART),
    ("it is checked out", "get_cart", _CART),
    ("it is checked out", "create_cart", _CART),
    ("closed while empty", "create_cart", _TWO),
    ("closed while empty", "close_cart", _TWO),
    ("closed while empty", "checkout", _TWO),
    ("a catalogue item", "get_item", {"itemid": "gold"}),
    ("the first page", "list_items", {"page_size": 2}),
    ("the next page", "list_items", {"page_size": 2, "page_token": "gold"}),
    ("all", "list_items", {}),
)

V1 = "/v1/carts/V1"
RESOURCE_CART: tuple[tuple[str, str, Any, str], ...] = (
    ("a new cart", f"PUT {V1}", None, '"k1"'),
    ("repeated", f"PUT {V1}", None, '"k1"'),
    ("the same cart", f"PUT {V1}", None, ""),
    ("the same cart", f"PUT {V1}", {}, ""),
    ("not closed", f"POST {V1}:checkout", None, ""),
    ("three blue", f"PUT {V1}/items/blue", {"count": 3}, "k2"),
    ("repeated", f"PUT {V1}/items/blue", {"count": 3}, '"k2"'),
    ("a used key", f"PUT {V1}/items/blue", {"count": 4}, "k2"),
    ("a used key", f"POST {V1}:close", None, '"k1"'),
    ("not too precise", f"PUT {V1}/items/red", {"count": 2.0}, ""),
    ("gone again", f"DELETE {V1}/items/red", None, "k3"),
    ("not in it", f"DELETE {V1}/items/red", None, ""),
)
RESOURCE_ORDER: tuple[tuple[str, str, Any, str], ...] = (
    ("closed", f"POST {V1}:close", None, "k4"),
    ("closed again", f"POST {V1}:close", None, ""),
    ("it is closed", f"PUT {V1}/items/blue", {"count": 1}, ""),
    ("it is closed", f"DELETE {V1}/items/blue", None, ""),
    ("an order", f"POST {V1}:checkout", None, "k5"),
)
RESOURCE_AFTERWARDS: tuple[tuple[str, str, Any, str], ...] = (
    ("the same order", f"POST {V1}:checkout", None, "k5"),
    ("the same order", f"POST {V1}:checkout", None, ""),
    ("checked out", f"GET {V1}", None, ""),
    ("checked out", f"PUT {V1}", None, ""),
    ("checked out", f"POST {V1}:close", None, ""),
    ("checked out", f"PUT {V1}/items/blue", {"count": 1}, ""),
    ("approved", "GET /v1/orders/{orderid}", None, ""),
    ("approved", "GET /v1/orders/{orderid}?wait=5", None, ""),
    ("history", "GET /v1/orders/{orderid}/history", None, ""),
    ("approved", "GET /v1/orders/{orderid}?wait=0.1", None, ""),
    ("it has ended", "POST /v1/orders/{orderid}:cancel", None, "k6"),
    ("empty", "PUT /v1/carts/V2", None, ""),
    ("empty", "POST /v1/carts/V2:close", None, ""),
    ("empty", "POST /v1/carts/V2:checkout", None, ""),
    ("the first page", "GET /v1/items?page_size=2", None, ""),
    ("the next page", "GET /v1/items?page_size=2&page_token=gold", None, ""),
    ("an item", "GET /v1/items/gold", None, ""),
)
