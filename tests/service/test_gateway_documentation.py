"""The gateway: its OpenAPI document, and that it cannot drift from the protos."""

import re

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from services.gateway.answers import as_json
from services.gateway.clients import SERVICES
from services.gateway.operations import OPERATIONS
from tests.service.gateway_harness import Refusal, suite

NOT_EXPOSED = {"PutItem", "GetReservation", "SetItem"}
SINCE = {
    "Cart": {"cart_items", "orderid"},
    "CreateCartRequest": {"commandid"},
    "CreateCartResponse": {"created"},
    "RemoveItemRequest": {"commandid"},
    "RemoveItemResponse": {"cart"},
    "CloseCartRequest": {"commandid"},
    "CheckoutRequest": {"commandid"},
    "CancelOrderRequest": {"commandid"},
}
"""Fields that messages have got since, for the resources: these routes stay as they are."""
JSON_TYPES = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_INT64: "integer",
    FieldDescriptor.TYPE_BOOL: "boolean",
}

each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.rpc.name)


async def document():
    async with suite() as (client, _):
        return (await client.get("/openapi.json")).json()


def shape(descriptor, hidden=SINCE):
    """The JSON types of a message's fields, and of the messages in them."""
    return {
        field.name: field_shape(field, hidden)
        for field in descriptor.fields
        if field.name not in hidden.get(descriptor.name, ())
    }


def field_shape(field, hidden):
    one = shape(field.message_type, hidden) if field.message_type else JSON_TYPES[field.type]
    return [one] if field.is_repeated else one


def documented_shape(schema, definitions):
    """The same of a JSON schema."""
    if "$ref" in schema:
        return documented_shape(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if schema["type"] == "array":
        return [documented_shape(schema["items"], definitions)]
    if schema["type"] == "object":
        return {name: documented_shape(each, definitions) for name, each in schema["properties"].items()}
    return schema["type"]


def optional_fields(descriptor, hidden=SINCE):
    """The fields that JSON shows only where they are set, at any depth."""
    for field in descriptor.fields:
        if field.name in hidden.get(descriptor.name, ()):
            continue
        if field.message_type:
            yield from optional_fields(field.message_type, hidden)
        elif field.has_presence:
            yield field.name


def not_required(model):
    schema = model.model_json_schema()
    for each in (schema, *schema.get("$defs", {}).values()):
        yield from set(each["properties"]) - set(each.get("required", ()))


def test_every_rpc_is_exposed_once_or_hidden_on_purpose():
    rpcs = [method.name for service in SERVICES.values() for method in service.methods]

    assert sorted([operation.rpc.name for operation in OPERATIONS] + list(NOT_EXPOSED)) == sorted(rpcs)


@each_operation
def test_paths_are_the_rpcs_in_snake_case(operation):
    service = operation.rpc.containing_service.name.lower()
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", operation.rpc.name).lower()

    assert operation.path == f"/{service}/api/{name}"


@each_operation
def test_models_have_the_names_fields_and_types_of_the_messages(operation):
    for model, message in (
        (operation.body, operation.rpc.input_type),
        (operation.answer, operation.rpc.output_type),
    ):
        schema = model.model_json_schema()

        assert model.__name__ == message.name
        assert documented_shape(schema, schema.get("$defs", {})) == shape(message)


def test_what_is_hidden_from_the_older_routes_is_there():
    messages = {
        message.name: message
        for operation in OPERATIONS
        for message in (operation.rpc.input_type, operation.rpc.output_type)
    }
    messages["Cart"] = messages["GetCartResponse"].fields_by_name["cart"].message_type

    for name, hidden in SINCE.items():
        assert hidden <= set(messages[name].fields_by_name)


@each_operation
def test_answers_leave_out_what_json_leaves_out(operation):
    assert sorted(not_required(operation.answer)) == sorted(optional_fields(operation.rpc.output_type))


@each_operation
def test_the_example_of_an_answer_is_such_an_answer(operation):
    message = json_format.ParseDict(operation.answer_example, GetMessageClass(operation.rpc.output_type)())

    assert as_json(message, operation.answer) == operation.answer_example
    assert operation.answer.model_validate(operation.answer_example, strict=True)


@each_operation
async def test_every_body_is_documented_with_an_example(operation):
    post = (await document())["paths"][operation.path]["post"]

    body = post["requestBody"]["content"]["application/json"]
    answer = post["responses"]["200"]["content"]["application/json"]
    assert body == {
        "schema": {"$ref": f"#/components/schemas/{operation.body.__name__}"},
        "example": operation.example,
    }
    assert answer == {
        "schema": {"$ref": f"#/components/schemas/{operation.answer.__name__}"},
        "example": operation.answer_example,
    }
    assert post["summary"]


async def test_the_examples_of_problems_are_what_is_answered():
    async with suite(GetCart=[Refusal(grpc.StatusCode.NOT_FOUND, "there is no cart 1234567")]) as (client, _):
        schema = (await client.get("/openapi.json")).json()["components"]["schemas"]["Problem"]
        malformed = await client.put("/v1/carts/1234567/items/blue", json={"count": 0})
        unknown = await client.get("/v1/carts/1234567")

    invalid, not_found = schema["examples"]
    assert malformed.json() == invalid
    assert unknown.json() == {**not_found, "reason": "not-found"}, "a real service gives the reason"


@each_operation
async def test_every_failure_is_documented_as_a_problem(operation):
    responses = (await document())["paths"][operation.path]["post"]["responses"]

    failures = {int(status): each["content"] for status, each in responses.items() if status != "200"}
    assert {400, 413, 503, 504, *operation.refusals} <= set(failures)
    for content in failures.values():
        assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


async def test_what_ready_demands_is_documented():
    get = (await document())["paths"]["/readyz"]["get"]

    assert "while purchase and stock serve" in get["description"]
    assert [(each["name"], each["in"], each["schema"]["type"]) for each in get["parameters"]] == [
        ("all", "query", "boolean")
    ]
    assert {"200", "400", "503"} == set(get["responses"])


async def test_every_reference_in_the_document_leads_somewhere():
    whole = await document()

    references = set(re.findall(r"'#/components/schemas/(\w+)'", str(whole)))
    assert references == set(whole["components"]["schemas"])
    assert "ValidationError" not in str(whole), "FastAPI refuses nothing by itself"


async def test_nothing_is_documented_as_null():
    assert "null" not in str((await document())["components"])


async def test_the_document_is_the_same_every_time():
    async with suite() as (client, _):
        first = await client.get("/openapi.json")
        second = await client.get("/openapi.json")

    assert first.json() == second.json()


async def test_the_docs_are_a_page_over_the_document():
    async with suite() as (client, _):
        page = await client.get("/docs")

    assert page.status_code == 200
    assert "/openapi.json" in page.text
