"""The page of the API's document in a real browser; `Visitor` fails on requests to other origins."""

from playwright.sync_api import expect


def test_document_is_shown_and_tried_without_any_other_origin(visit):
    visitor = visit(path="/docs")

    operation = visitor.page.locator("#operations-v1_items-list_items")
    operation.get_by_role("button").first.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()

    expect(operation.locator(".live-responses-table tbody .response-col_status")).to_contain_text("200")
    expect(operation.locator(".live-responses-table")).to_contain_text("blue")
    stored = visitor.page.evaluate("[...Object.keys(localStorage), ...Object.keys(sessionStorage)]")
    assert stored == []
