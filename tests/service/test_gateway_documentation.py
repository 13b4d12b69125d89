"""The OpenAPI document: it matches the protos, and its examples are valid. Golden files hold its promises."""

import re
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from pydantic import BaseModel, TypeAdapter

from contract import asyncapi
from services.gateway import models
from services.gateway.clients import SERVICES
from services.gateway.json_route import JsonBody
from tests.service.gateway_harness import Failure, suite

OLDER = ("purchase", "stock", "payment", "delivery")
"""The services that have older routes, `POST /<service>/api/<rpc>`."""
RPCS = {method.name: method for service in OLDER for method in SERVICES[service].methods}
NOT_EXPOSED = {"PutItem", "GetReservation", "SetItem"}
ADDED_LATER = {
    "Cart": {"cart_items", "orderid"},
    "CreateCartRequest": {"commandid"},
    "CreateCartResponse": {"created"},
    "RemoveItemRequest": {"commandid"},
    "RemoveItemResponse": {"cart"},
    "CloseCartRequest": {"commandid"},
    "CheckoutRequest": {"commandid"},
    "CancelOrderRequest": {"commandid"},
}
"""Fields that messages got for /v1: the older routes neither take nor show them."""
RESOURCES = {
    "post_cart": ("CreateCart", "cart"),
    "put_cart": ("CreateCart", "cart"),
    "get_cart": ("GetCart", "cart"),
    "set_item": ("SetItem", "cart"),
    "remove_item": ("RemoveItem", "cart"),
    "close_cart": ("CloseCart", "cart"),
    "checkout": ("Checkout", "order_ticket"),
    "get_order": ("GetOrderTicket", "order_ticket"),
    "cancel_order": ("CancelOrder", "order_ticket"),
    "get_order_history": ("GetOrderHistory", None),
    "list_items": ("ListItems", None),
    "get_item": ("GetItem", "item"),
}
"""The RPC of each operation under /v1, and the field of the response that is the resource."""
GENERATED = {"post_cart": {"cartid"}}
"""Fields of the RPC that the gateway fills in."""
JSON_TYPES = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_INT64: "integer",
    FieldDescriptor.TYPE_BOOL: "boolean",
}


async def get_document() -> Any:
    async with suite() as (client, _):
        return (await client.get("/openapi.json")).json()


def operations(document: Any) -> dict[str, Any]:
    """By their ids, with their path and method."""
    return {
        each["operationId"]: {**each, "path": path, "method": method}
        for path, methods in document["paths"].items()
        for method, each in methods.items()
    }


def shape(message, hidden) -> Any:
    """The JSON types of a message's fields; a `?` after the name of those left out if unset."""
    return {
        field.name + "?" * (field.has_presence and not field.message_type): field_shape(field, hidden)
        for field in message.fields
        if field.name not in hidden.get(message.name, ())
    }


def field_shape(field, hidden) -> Any:
    one = shape(field.message_type, hidden) if field.message_type else JSON_TYPES[field.type]
    return [one] if field.is_repeated else one


def documented_shape(schema, document, *, answer: bool) -> Any:
    """The same of a JSON schema; in a request every field may have a default."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if schema["type"] == "array":
        return [documented_shape(schema["items"], document, answer=answer)]
    if schema["type"] != "object":
        return schema["type"]
    required = schema.get("required", ()) if answer else schema["properties"]
    return {
        name + "?" * (name not in required): documented_shape(each, document, answer=answer)
        for name, each in schema["properties"].items()
    }


def json_of(content: Any) -> Any:
    return content["content"]["application/json"]["schema"]


async def test_each_rpc_is_one_older_route_or_hidden_on_purpose():
    older = {name: each for name, each in operations(await get_document()).items() if name in RPCS}

    assert older.keys() == RPCS.keys() - NOT_EXPOSED
    for name, each in older.items():
        snake_case = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        assert each["path"] == f"/{RPCS[name].containing_service.name.lower()}/api/{snake_case}"


async def test_older_routes_take_and_show_the_fields_of_their_messages():
    document = await get_document()
    for name, each in operations(document).items():
        if name in RPCS:
            taken = documented_shape(json_of(each["requestBody"]), document, answer=False)
            shown = documented_shape(json_of(each["responses"]["200"]), document, answer=True)
            assert taken == shape(RPCS[name].input_type, ADDED_LATER), name
            assert shown == shape(RPCS[name].output_type, ADDED_LATER), name


async def test_resources_show_and_take_the_fields_of_their_messages():
    document = await get_document()
    for name, (rpc, part) in RESOURCES.items():
        each, message = operations(document)[name], RPCS[rpc].output_type
        resource = message.fields_by_name[part].message_type if part else message
        for status in {"200", "201", "202"} & each["responses"].keys():
            shown = documented_shape(json_of(each["responses"][status]), document, answer=True)
            assert shown == shape(resource, {}), name
        sent = {parameter["name"] for parameter in each["parameters"]} - {"If-None-Match", "wait"}
        body = json_of(each["requestBody"]) if "requestBody" in each else {"type": "object", "properties": {}}
        sent |= documented_shape(body, document, answer=False).keys()
        named = {"commandid" if name == "Idempotency-Key" else name for name in sent}
        hidden = {"commandid"} if each["method"] == "get" else GENERATED.get(name, set())
        assert named == set(RPCS[rpc].input_type.fields_by_name) - hidden, name


@pytest.mark.parametrize(
    "model",
    [each for each in vars(models).values() if isinstance(each, type) and issubclass(each, BaseModel)],
)
def test_examples_of_fields_are_valid(model: type[BaseModel]):
    for field in model.model_fields.values():
        for example in field.examples or ():
            TypeAdapter(field.annotation).validate_python(example)


async def test_every_field_of_a_body_has_an_example_or_a_default():
    schemas = (await get_document())["components"]["schemas"]

    bodies = [schemas[name] for name, model in vars(models).items() if name in schemas and is_body(model)]
    assert len(bodies) >= 6
    for body in bodies:
        for name, each in body["properties"].items():
            assert "examples" in each or "default" in each, name


def is_body(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, JsonBody)


async def test_the_example_of_a_problem_is_what_is_answered():
    async with suite(GetCart=[Failure(grpc.StatusCode.NOT_FOUND, "there is no cart 1234567")]) as (client, _):
        schema = (await client.get("/openapi.json")).json()["components"]["schemas"]["Problem"]
        malformed = await client.put("/v1/carts/1234567/items/blue", json={"count": 0})

    assert malformed.json() == {name: each["examples"][0] for name, each in schema["properties"].items()}


async def test_every_failure_is_documented_as_a_problem():
    for operation in operations(await get_document()).values():
        for status, each in operation["responses"].items():
            if status >= "400":
                schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
                assert each["content"] == {"application/problem+json": schema}


async def test_idempotency_key_documents_how_long_it_is_stored():
    key = next(
        each
        for each in operations(await get_document())["set_item"]["parameters"]
        if each["name"] == "Idempotency-Key"
    )

    assert "for 60 days" in key["description"]
    (example,) = key["schema"]["examples"]
    assert re.match(key["schema"]["pattern"], example)


async def test_every_schema_is_used_and_none_is_fastapis_own():
    document = await get_document()

    references = set(re.findall(r"'#/components/schemas/(\w+)'", str(document)))
    assert references == set(document["components"]["schemas"])
    assert "ValidationError" not in str(document)
    assert "null" not in str(document["components"])


async def test_events_have_a_document_of_their_own():
    """That of the API does not list it, as it does not list itself."""
    async with suite() as (client, _):
        answer = await client.get("/asyncapi.json")
        unchanged = await client.get("/asyncapi.json", headers={"If-None-Match": answer.headers["etag"]})

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == asyncapi.document()
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert "/asyncapi.json" not in (await get_document())["paths"]


async def test_document_stays_the_same():
    async with suite() as (client, _):
        first = await client.get("/openapi.json")
        second = await client.get("/openapi.json")

    assert first.json() == second.json()
