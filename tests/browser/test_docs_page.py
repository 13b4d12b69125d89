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


def test_web_ui_links_to_the_document_where_it_is_served(visit, start):
    with_page, without = visit(), visit(start(environ={"DOCS": "off"}))

    for visitor in (with_page, without):
        expect(visitor.button("Check out")).to_be_visible()
    expect(with_page.page.get_by_role("link", name="API")).to_be_visible()
    expect(without.page.get_by_role("link", name="API")).to_be_hidden()
