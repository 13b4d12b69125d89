"""Turns messages into the JSON that clients see: of each the fields that its model in the API has."""

from functools import cache
from typing import Any, get_args

from google.protobuf.message import Message
from pydantic import BaseModel

from contract.json import JsonView, to_json


def as_json(message: Message, model: type[BaseModel]) -> dict[str, Any]:
    """What `model` documents of the message: a message that has grown since changes no older route."""
    return to_json(message, _shown(model))


@cache
def _shown(model: type[BaseModel]) -> JsonView:
    return {name: _shown_of_type(field.annotation) for name, field in model.model_fields.items()}


def _shown_of_type(annotation: Any) -> JsonView:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _shown(annotation)
    inner = [_shown_of_type(each) for each in get_args(annotation)]
    return next(filter(None, inner), {})
