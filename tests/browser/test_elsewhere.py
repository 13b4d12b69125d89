"""The page of other suites: one over Google's emulators, and one where people sign in."""

import re

import pytest
from playwright.sync_api import expect

from tests.support import local_suite


def test_whoever_has_to_sign_in_is_asked_for_a_token_and_shops_with_it(visit, tmp_path):
    with local_suite.ready_suite(tmp_path, "--auth") as suite:
        visitor = visit(suite)
        visitor.refusals = {401}
        expect(visitor.page.get_by_label("Bearer token")).to_be_focused()

        visitor.page.get_by_label("Bearer token").fill("no token at all")
        visitor.page.keyboard.press("Enter")
        expect(visitor.page.get_by_label("Bearer token")).to_be_visible()
        visitor.page.get_by_label("Bearer token").fill(suite.sagactl("token", "somebody").stdout.strip())
        visitor.page.get_by_role("button", name="Sign in").click()
        visitor.choose("paid")
        visitor.sees("approved")
        visitor.sees_it_over()
        visitor.page.reload()

        visitor.sees("approved")
        visitor.page.get_by_role("button", name="Sign out").click()
        expect(visitor.page.get_by_label("Bearer token")).to_be_visible()
        expect(visitor.page.get_by_role("button", name="Check out")).to_be_hidden()
        assert visitor.latest() == []
        assert visitor.orderid == ""


@pytest.mark.emulators
def test_over_googles_emulators_an_order_is_seen_to_be_approved(
    visit, tmp_path, firestore_emulator, pubsub_emulator, project
):
    named = {
        "DATASTORE_EMULATOR_HOST": firestore_emulator,
        "PUBSUB_EMULATOR_HOST": pubsub_emulator,
        "GOOGLE_CLOUD_PROJECT": project,
    }
    with local_suite.suite(tmp_path, environ=named) as suite:
        suite.until_ready()
        visitor = visit(suite)

        visitor.choose("paid")
        visitor.sees("approved")
        visitor.sees_it_over()

        assert visitor.moves("stock") == ["reserved", "sold"]
        assert visitor.moves("delivery") == ["delivery-arranged"]


def test_where_orders_are_traced_each_step_leads_to_its_trace(visit, tmp_path):
    traced = {"OTEL_TRACES_EXPORTER": "console", "TRACE_URL": "https://traces.example/{trace_id}/look"}
    with local_suite.suite(tmp_path, "--backend", "embedded", environ=traced) as suite:
        suite.until_ready()
        visitor = visit(suite)

        visitor.choose("paid")
        visitor.sees("approved")
        visitor.sees_it_over()

        links = visitor.page.get_by_role("link", name=re.compile("^trace of "))
        expect(links).to_have_count(7)
        (address,) = {link.get_attribute("href") for link in links.all()}
        assert re.fullmatch("https://traces\\.example/[0-9a-f]{32}/look", address)
