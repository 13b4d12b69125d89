"""Event types: a name, the model of the body and its encoding, declared once for publishers and receivers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from sagakit.bus import MAX_ATTRIBUTE_BYTES
from sagakit.codec import Stored
from sagakit.consumer import Handler, Outcome
from sagakit.errors import Poison
from sagakit.events import REMINDER_ATTRIBUTE, Event, timestamp

B = TypeVar("B")

VERSION_ATTRIBUTE = "schema-version"
_RESERVED = {"eventid", "type", "time", "traceparent", "content-type", REMINDER_ATTRIBUTE, VERSION_ATTRIBUTE}
MALFORMED_BODY = "malformed-body"
"""Reason of a dead letter: its body is not one of its event type."""


@dataclass(frozen=True, slots=True)
class BodyCodec(Generic[B]):
    """How the bodies of an event type become bytes, and back."""

    dump: Callable[[B], bytes]
    """Raises TypeError or ValueError if the body cannot be encoded."""
    load: Callable[[bytes], B]
    """Raises ValueError, with the field and what is wrong, if the bytes are no such body."""
    content_type: str = ""
    """The attribute `content-type` of its events; "": they have none, which stands for JSON."""


@dataclass(frozen=True, slots=True)
class EventType(Generic[B]):
    """A kind of fact that services publish. Raises TypeError if its model needs a codec of its own.

    Declare it once, in a module that publisher and receivers import; use it in `Service.handlers`, for a
    handler that gets the decoded body, and in `Service.publishes`.
    """

    name: str
    """The attribute `type` of its events, for example `parcel.Sent`."""
    model: type[B]
    """Of the body: a dataclass or pydantic model, encoded as JSON, or a protobuf message, in its binary form.

    Receivers ignore fields that they do not know, and do not convert types: `"1"` is no int."""
    version: int = 1
    """Raise it for a change that older receivers cannot read (a field with a default is none), once newer
    ones run: a receiver leaves a higher version than its own to a newer replica (`Outcome.UNKNOWN`)."""
    codec: BodyCodec[B] | None = None
    """For a model or an encoding of one's own; None: that of the model."""
    attributes: tuple[str, ...] = ()
    """Text fields of the body, of at most MAX_ATTRIBUTE_BYTES, that are attributes of its events, too: by
    them receivers may ignore events without decoding them (`Service.ignores`). An empty one is left out."""

    def __post_init__(self) -> None:
        if not self.name or self.version < 1:
            raise ValueError("an event type has a name, and a version from 1")
        for name in self.attributes:
            if name in _RESERVED or name.startswith(("ce-", "goog")):
                raise ValueError(f"the attribute {name!r} of {self.name} has a meaning of its own")
        self._body_codec  # noqa: B018  to find out now whether it has one

    @property
    def _body_codec(self) -> BodyCodec[B]:
        model: Any = self.model
        return self.codec or _codec_of(model)

    @property
    def content_type(self) -> str:
        """The attribute `content-type` of its events; "": they have none, which stands for JSON."""
        return self._body_codec.content_type

    def encode(
        self,
        body: B,
        eventid: str,
        now: float,
        *,
        is_reminder: bool = False,
        about: Mapping[str, str] = {},
    ) -> Event:
        """Return the event that publishes `body` at `now` (seconds since the epoch).

        `is_reminder` marks it as a repetition of an earlier one (`again`). Raises TypeError, naming type and
        field, if the body is not one of the model, and ValueError if a field is too long for an attribute.
        """
        codec = self._body_codec
        if not isinstance(body, self.model):
            raise TypeError(
                f"the body of {self.name} is a {type(body).__name__}, not a {self.model.__name__}"
            )
        try:
            data = codec.dump(body)
        except (TypeError, ValueError) as error:
            raise TypeError(f"the body of {self.name} cannot be encoded: {error}") from error
        attributes = {
            "time": timestamp(now),
            **({REMINDER_ATTRIBUTE: "true"} if is_reminder else {}),
            **({VERSION_ATTRIBUTE: str(self.version)} if self.version > 1 else {}),
            **({"content-type": codec.content_type} if codec.content_type else {}),
            **self._attributes_of(body),
        }
        return Event(eventid, self.name, data, attributes, about)

    def _attributes_of(self, body: B) -> dict[str, str]:
        found = {name: getattr(body, name, 0) for name in self.attributes}
        for name, value in found.items():
            if not isinstance(value, str | None):
                raise TypeError(f"the body of {self.name} has no text {name}, which is an attribute")
            if value and len(value.encode()) > MAX_ATTRIBUTE_BYTES:
                # Committed with its state, such an event would never be published.
                limit = f"an attribute has at most {MAX_ATTRIBUTE_BYTES:,} bytes"
                raise ValueError(f"{name} in the body of {self.name} is too long: {limit}")
        return {name: str(value) for name, value in found.items() if value}

    def decode(self, event: Event) -> B:
        """Return the body of an event of this type.

        Raises Poison, reason `malformed-body: TYPE: FIELD: …`, if it is not one of the model.
        """
        try:
            return self._body_codec.load(event.body)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise Poison(f"{MALFORMED_BODY}: {self.name}: {error}") from error

    def is_newer(self, event: Event) -> bool:
        """Whether the event has a later version than this one. Raises Poison if its version is no number."""
        text = event.attributes.get(VERSION_ATTRIBUTE, "1")
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise Poison(f"{MALFORMED_BODY}: {self.name}: {VERSION_ATTRIBUTE}: {text[:20]!r} is no version")
        return int(text) > self.version


BodyHandler = Callable[[Event, Any], Awaitable[Outcome]]
"""A `Handler` of an event type: it is called with the event and its decoded body."""
Handlers = Mapping[Any, Callable[..., Awaitable[Outcome]]]
"""A `BodyHandler` by its `EventType`, or a plain `Handler` by the name of a type."""


def by_name(handlers: Handlers) -> dict[str, Handler]:
    """Return plain handlers by the names of the event types. Raises ValueError if a type has two."""
    found: dict[str, Handler] = {}
    for key, handle in handlers.items():
        name = key.name if isinstance(key, EventType) else key
        if name in found:
            raise ValueError(f"the event type {name!r} has two handlers")
        found[name] = _decoding(key, handle) if isinstance(key, EventType) else handle
    return found


def _decoding(event_type: EventType[B], handle: Callable[..., Awaitable[Outcome]]) -> Handler:
    async def decode_and_handle(event: Event) -> Outcome:
        if event_type.is_newer(event):
            return Outcome.UNKNOWN
        return await handle(event, event_type.decode(event))

    return decode_and_handle


@cache
def _codec_of(model: Any) -> BodyCodec[Any]:
    if hasattr(model, "FromString") and hasattr(model, "DESCRIPTOR"):
        return _protobuf_codec(model)
    if isinstance(model, type) and issubclass(model, Stored):
        raise TypeError(f"{model.__name__} is `Stored`: events have models of their own")
    if is_dataclass(model) or (isinstance(model, type) and issubclass(model, BaseModel)):
        return _json_codec(model)
    raise TypeError(f"{model!r} is no dataclass, pydantic model or protobuf message: give a codec")


def _json_codec(model: Any) -> BodyCodec[Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(model)

    def dump(body: Any) -> bytes:
        try:
            data = adapter.dump_json(body, warnings="error")
        except PydanticSerializationError as error:
            raise TypeError(" ".join(str(error).split())) from error
        # A dataclass does not check its fields: what receivers would reject must not be published.
        load(data)
        return data

    def load(data: bytes) -> Any:
        try:
            return adapter.validate_json(data, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None

    return BodyCodec(dump, load)


def _protobuf_codec(model: Any) -> BodyCodec[Any]:
    # A project that has such a model has the package.
    from google.protobuf.message import DecodeError, EncodeError  # noqa: PLC0415  optional

    def dump(body: Any) -> bytes:
        try:
            return bytes(body.SerializeToString())
        except EncodeError as error:
            raise TypeError(str(error)) from error

    def load(data: bytes) -> Any:
        try:
            return model.FromString(data)
        except DecodeError as error:
            raise ValueError(str(error)) from error

    return BodyCodec(dump, load, "application/protobuf")
