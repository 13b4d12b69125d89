"""The web UI of suites that run otherwise: over Google's emulators, with authentication, with tracing."""

import re

import pytest
from playwright.sync_api import expect


def test_with_authentication_the_visitor_enters_a_token(visit, start):
    suite = start("--auth")
    visitor = visit(suite)
    visitor.expected_errors = {401, 403}  # no token at first, and then one of no operator
    token = visitor.page.get_by_label("Bearer token")
    expect(token).to_be_focused()

    token.fill("not a token")
    visitor.page.keyboard.press("Enter")
    expect(token).to_be_visible()
    token.fill(suite.sagactl("token", "visitor").stdout.strip())
    visitor.button("Sign in").click()
    visitor.run("paid", "approved")
    visitor.page.reload()

    visitor.expect_status("approved")
    expect(visitor.button("Stop stock")).to_be_hidden()
    expect(visitor.page.locator("[data-scenario=outage], [data-scenario=cancel]")).to_have_count(0)
    visitor.button("Sign out").click()
    expect(token).to_be_visible()
    expect(visitor.button("Check out")).to_be_hidden()
    assert visitor.recent_orders() == []
    assert visitor.orderid == ""


def test_with_authentication_operators_stop_and_start_services(visit, start):
    suite = start("--auth")
    visitor = visit(suite)
    token = suite.sagactl("token", "root", "--operator").stdout.strip()

    visitor.page.get_by_label("Bearer token").fill(token)
    visitor.button("Sign in").click()

    visitor.stop_service("stock")
    visitor.start_service("stock")
    expect(visitor.page.locator("[data-scenario=outage]")).to_be_visible()


@pytest.mark.emulators
def test_order_is_approved_over_the_emulators(visit, start, firestore_emulator, pubsub_emulator, project):
    environ = {
        "BACKEND": "auto",
        "DATASTORE_EMULATOR_HOST": firestore_emulator,
        "PUBSUB_EMULATOR_HOST": pubsub_emulator,
        "GOOGLE_CLOUD_PROJECT": project,
    }
    suite = start(environ=environ)
    visitor = visit(suite)

    visitor.run("paid", "approved")

    assert visitor.events("stock") == ["reserved", "sold"]
    assert visitor.events("delivery") == ["delivery-arranged"]


def test_with_tracing_each_event_links_to_its_trace(visit, start):
    environ = {"OTEL_TRACES_EXPORTER": "console", "TRACE_URL": "https://traces.example/{trace_id}/view"}
    suite = start("--backend", "embedded", environ=environ)
    visitor = visit(suite)

    visitor.run("paid", "approved")

    links = visitor.page.get_by_role("link", name=re.compile("^trace of "))
    expect(links).to_have_count(7)
    (url,) = {link.get_attribute("href") for link in links.all()}
    assert re.fullmatch("https://traces\\.example/[0-9a-f]{32}/view", url)
