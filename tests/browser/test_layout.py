"""The web UI as it is drawn: what meets, wraps or appears too early."""

import json

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import Visitor

PHONE = {"width": 360, "height": 740}
EVENT_MILLISECONDS = 120
STATUSES = {
    "purchase.pre-approved": "pre-approved",
    "stock.reserved": "reserved",
    "payment.paid": "reserved",
    "purchase.approved": "approved",
}
CROSSED_LABELS = """() => {
  const canvas = document.getElementById("connectors").getBoundingClientRect();
  const boxes = (label) => {
    const range = document.createRange();
    range.selectNodeContents(label);
    return [...range.getClientRects()];
  };
  const labels = [...document.querySelectorAll("[data-event] .status, [data-event] .latency")]
    .flatMap((label) => boxes(label).map((box) => ({ box, text: label.closest("li").dataset.event })));
  const isIn = ({ x, y }, { left, right, top, bottom }) => x > left && x < right && y > top && y < bottom;
  const crossed = [...document.querySelectorAll(".connector")].flatMap((path) => {
    const points = Array.from({ length: 401 }, (_, index) => {
      const { x, y } = path.getPointAtLength((path.getTotalLength() * index) / 400);
      return { x: x + canvas.x, y: y + canvas.y };
    });
    return labels.filter(({ box }) => points.some((point) => isIn(point, box)));
  });
  return { labels: labels.length, crossed: crossed.map(({ text }) => text) };
}"""
RECORD_STATUSES = """() => {
  window.shown = [];
  const status = document.getElementById("order-status");
  const record = () => {
    const keys = [...document.querySelectorAll("[data-event]")].map((event) => event.dataset.event);
    const delays = [...document.querySelectorAll("[data-event], .connector")]
      .map((node) => getComputedStyle(node).animationDelay).filter((delay) => delay !== "0s");
    window.shown.push({ time: performance.now(), status: status.textContent, keys, delays });
  };
  const options = { subtree: true, childList: true, characterData: true };
  new MutationObserver(record).observe(document.getElementById("order"), options);
}"""


@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 900}, {"width": 1040, "height": 900}, PHONE])
@pytest.mark.parametrize(("scenario", "status"), [("paid", "approved"), ("declined", "payment-failed")])
def test_connectors_cross_no_label(visit, viewport, scenario, status):
    visitor = visit(viewport=viewport, reduced_motion="reduce")

    visitor.run(scenario, status)

    found = visitor.page.evaluate(CROSSED_LABELS)
    assert found["labels"] >= 10
    assert found["crossed"] == []


def test_check_out_does_not_wrap(visit):
    visitor = visit()
    button = visitor.button("Check out")
    height = button.bounding_box()["height"]

    visitor.add("blue", 10)
    visitor.add("red")

    expect(visitor.page.locator("#cart")).to_have_text("11 items, nothing to pay")
    assert button.bounding_box()["height"] == height


def test_events_that_arrive_together_appear_one_by_one_with_their_status(visit):
    visitor = visit()
    visitor.page.route("**/events", stream)
    visitor.page.evaluate(RECORD_STATUSES)

    visitor.start("paid")
    visitor.expect_settled("approved")

    shown = [each for each in visitor.page.evaluate("window.shown") if each["keys"]]
    first = {key: next(each for each in shown if key in each["keys"]) for key in STATUSES}
    assert {key: each["status"] for key, each in first.items()} == STATUSES
    times = [each["time"] for each in first.values()]
    steps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert min(steps) > EVENT_MILLISECONDS * 0.9, steps
    assert not any(each["delays"] for each in shown)


def stream(route) -> None:
    body = ""
    for second, key in enumerate(STATUSES):
        service, status = key.split(".")
        data = {"service": service, "status": status, "time": f"2026-11-21T12:00:0{second}.000Z"}
        body += f"event: move\nid: {key}\ndata: {json.dumps(data)}\n\n"
    body += f"event: end\nid: purchase.approved,end\ndata: {json.dumps({'status': 'approved'})}\n\n"
    route.fulfill(status=200, content_type="text/event-stream", body=body)


def test_order_that_has_ended_is_shown_again_at_once(visit):
    visitor: Visitor = visit()
    visitor.run("paid", "approved")
    visitor.page.reload()
    visitor.page.evaluate(RECORD_STATUSES)
    visitor.run("sold-out", "reserve-failed")
    visitor.page.evaluate("() => { window.shown = [] }")

    visitor.page.locator("#orders a").last.click()
    visitor.expect_settled("approved")

    shown = [each for each in visitor.page.evaluate("window.shown") if each["keys"]]
    assert shown[-1]["status"] == "approved"
    steps = len(STATUSES) - 1
    approved = next(each for each in shown if each["status"] == "approved")
    assert approved["time"] - shown[0]["time"] < steps * EVENT_MILLISECONDS * 0.9
