"""The resources: their OpenAPI document, and that they cannot drift from the protos."""

import re

import pytest
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from services.gateway.answers import as_json
from services.gateway.v1.models import OrderView, Page
from services.gateway.v1.resources import ACTIONS
from tests.service.gateway_harness import suite
from tests.service.test_gateway_documentation import (
    documented_shape,
    not_required,
    optional_fields,
    shape,
)

BY_NAME = {action.name: action for action in ACTIONS}
EVERYTHING: dict[str, set[str]] = {}

each_action = pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)


async def document():
    async with suite() as (client, _):
        return (await client.get("/openapi.json")).json()


async def documented(action):
    return (await document())["paths"][action.path][action.method.lower()]


def message_of(action):
    """What is answered: the rpc's message, or the part of it that is the resource."""
    whole = action.rpc.output_type
    return whole.fields_by_name[action.part].message_type if action.part else whole


def names_in(action):
    """The fields of the request, and where each comes from."""
    for place, model in (("path", action.at), ("query", action.query), ("body", action.body)):
        for name, field in (model.model_fields if model else {}).items():
            yield name, place, field


@each_action
def test_a_resource_has_the_fields_and_types_of_its_message(action):
    schema = action.answer.model_json_schema()

    assert documented_shape(schema, schema.get("$defs", {})) == shape(message_of(action), EVERYTHING)
    assert sorted(not_required(action.answer)) == sorted(optional_fields(message_of(action), EVERYTHING))


@each_action
def test_path_query_body_and_key_make_up_the_request(action):
    # How an order is looked at the gateway keeps to itself.
    sent = {name: field for name, _, field in names_in(action) if name not in OrderView.model_fields}
    message = action.rpc.input_type

    assert sorted([*sent, *["commandid"] * action.keyed]) == sorted(message.fields_by_name)
    types = {name: str if message.fields_by_name[name].type == 9 else int for name in sent}
    assert {name: field.annotation for name, field in sent.items()} == types


@each_action
def test_what_is_in_the_path_is_what_the_path_names(action):
    named = re.findall(r"{(\w+)}", action.path)

    assert named == list(action.at.model_fields if action.at else ())


def test_whatever_changes_something_takes_a_key():
    assert {action.name for action in ACTIONS if action.keyed} == {
        action.name for action in ACTIONS if action.method != "GET"
    }


@each_action
def test_the_example_of_an_answer_is_such_an_answer(action):
    message = json_format.ParseDict(action.example, GetMessageClass(message_of(action))())

    assert as_json(message, action.answer) == action.example
    assert action.answer.model_validate(action.example, strict=True)
    assert action.body.model_validate(action.body_example, strict=True)


@each_action
async def test_success_and_every_failure_are_documented(action):
    responses = (await documented(action))["responses"]

    done = {status: each for status, each in responses.items() if status < "300"}
    failures = {status: each["content"] for status, each in responses.items() if status >= "400"}
    assert {"400", "404", "413", "503", "504"} <= set(failures)
    assert ("422" in failures) == action.keyed
    for content in failures.values():
        assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for each in done.values():
        assert each["content"]["application/json"] == {
            "schema": {"$ref": f"#/components/schemas/{action.answer.__name__}"},
            "example": action.example,
        }
        assert each["description"]


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("put_cart", {"200", "201"}),
        ("checkout", {"202"}),
        ("get_order", {"200", "304"}),
        ("close_cart", {"200"}),
    ],
)
async def test_each_way_to_succeed_is_documented(name, statuses):
    responses = (await documented(BY_NAME[name]))["responses"]

    assert {status for status in responses if status < "400"} == statuses


@each_action
async def test_parameters_are_documented_with_what_they_must_be(action):
    parameters = {each["name"]: each for each in (await documented(action))["parameters"]}

    placed = {name: each["in"] for name, each in parameters.items()}
    expected = {name: place for name, place, _ in names_in(action) if place != "body"}
    header = "If-None-Match" if action.method == "GET" else "Idempotency-Key"
    assert placed == {**expected, header: "header"}
    for name, each in parameters.items():
        assert each["required"] == (each["in"] == "path"), name
        if each["in"] == "path":
            (example,) = each["schema"]["examples"]
            assert re.match(each["schema"]["pattern"], example)


async def test_a_key_says_how_long_it_is_remembered():
    key = (await documented(BY_NAME["set_item"]))["parameters"][-1]

    assert "for 60 days" in key["description"]
    assert re.match(key["schema"]["pattern"], key["example"])


async def test_links_lead_to_actions_with_parameters_that_they_have():
    links = [
        link
        for action in ACTIONS
        for response in (await documented(action))["responses"].values()
        for link in response.get("links", {}).values()
    ]

    assert {link["operationId"] for link in links} >= {"get_cart", "checkout", "get_order", "get_item"}
    for link in links:
        target = BY_NAME[link["operationId"]]
        assert set(link["parameters"]) <= {name for name, _, _ in names_in(target)}


def test_a_page_has_the_bounds_of_the_service():
    size = Page.model_json_schema()["properties"]["page_size"]

    assert (size["minimum"], size["maximum"], size["default"]) == (1, 100, 100)
