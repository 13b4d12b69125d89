"""Two services with an event type of their own, on one SQLite file. See README.md."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence

import sagakit
from sagakit import Changes, Decide, Entity, Event, Key, Kit, Outcome, Poison, Service, Snapshot, due_property
from sagakit.backends import open_backend, open_provisioner
from sagakit.run import main

SUBSCRIBES_TO = {"greeter": ("requests", "translator"), "translator": ("greeter",)}
DEFAULTS = {"BACKEND": "embedded", "EMBEDDED_FILE": "hello.sqlite3", "PORT": "0"}


def new_event(eventid: str, event_type: str, **body: str) -> Event:
    return Event(eventid, event_type, json.dumps(body).encode())


async def once(kit: Kit, event: Event, keys: Sequence[Key], decide: Decide[Outcome]) -> Outcome:
    applied_once = kit.inbox.once(event.eventid, decide, load=lambda _: Outcome.DUPLICATE)
    return (await kit.store.transact(keys, applied_once)).result


def read(event: Event, *names: str) -> dict[str, str]:
    """Return these texts of the body. Raises Poison without them: the event becomes a dead letter."""
    try:
        body = json.loads(event.body)
        return {name: "".join(body[name]) for name in names}
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise Poison("malformed-body") from error


def greeter(kit: Kit) -> Service:
    """Stores a greeting, publishes it, and publishes it again until the translation arrives."""

    def waiting(name: str, sent: int, now: float) -> Entity:
        return {"text": "", "sent": sent, **due_property(name, kit.schedule.next_at(now, sent - 1))}

    async def requested(event: Event) -> Outcome:
        key = Key("Greeting", read(event, "name")["name"])
        now, greeted = kit.runtime.now(), new_event(kit.runtime.new_id(), "hello.Greeted", name=key.name)

        def decide(found: Snapshot) -> Changes[Outcome]:
            if found.get(key) is not None:
                return Changes(Outcome.IGNORED)
            return Changes(Outcome.APPLIED, {key: waiting(key.name, 1, now)}, [greeted])

        return await once(kit, event, [key], decide)

    async def translated(event: Event) -> Outcome:
        body = read(event, "name", "text")
        greeting = {Key("Greeting", body["name"]): {"text": body["text"]}}
        return await once(kit, event, [*greeting], lambda _: Changes(Outcome.APPLIED, greeting))

    def remind(name: str, entity: Entity, now: float, eventid: str) -> Changes[str | None]:
        greeting = {Key("Greeting", name): waiting(name, entity["sent"] + 1, now)}
        return Changes("translator", greeting, [new_event(eventid, "hello.Greeted", name=name)])

    handlers = {"hello.Requested": requested, "hello.Translated": translated}
    return Service(handlers=handlers, reminders={"Greeting": remind})


def translator(kit: Kit) -> Service:
    async def greeted(event: Event) -> Outcome:
        name = read(event, "name")["name"]
        reply = new_event(kit.runtime.new_id(), "hello.Translated", name=name, text="bonjour")
        return await once(kit, event, (), lambda _: Changes(Outcome.APPLIED, events=[reply]))

    return Service(handlers={"hello.Greeted": greeted})


async def provision() -> None:
    async with open_provisioner(os.environ) as provisioner:
        for topic in ("requests", "dead-letter", *SUBSCRIBES_TO):
            await provisioner.ensure_topic(topic)
        for service, topics in SUBSCRIBES_TO.items():
            for topic in topics:
                name = sagakit.subscription_name(service, topic)
                await provisioner.ensure_subscription(sagakit.SubscriptionSpec(name, topic, "dead-letter"))


async def greet(name: str) -> None:
    settings, key = sagakit.BackendSettings.from_environ(os.environ), Key("Greeting", name)
    async with open_backend(settings, sagakit.Runtime()) as backend:
        request = new_event(sagakit.Runtime().new_id(), "hello.Requested", name=name)
        await backend.bus.publish("requests", [request.to_message()])
        while not (key in (rows := await backend.tables.lookup([key])) and rows[key].entity["text"]):
            await asyncio.sleep(0.1)
        print(f"{name}: {rows[key].entity['text']}")


if __name__ == "__main__":
    os.environ.update({name: value for name, value in DEFAULTS.items() if name not in os.environ})
    match sys.argv[1:]:
        case ["provision"]:
            asyncio.run(provision())
        case ["greet", name]:
            asyncio.run(greet(name))
        case [("greeter" | "translator") as service]:
            os.environ.update(EVENT_PUBLISH_TOPIC=service, EVENT_DEAD_LETTER_TOPIC="dead-letter")
            os.environ["EVENT_SUBSCRIBE_TOPICS"] = ",".join(SUBSCRIBES_TO[service])
            main(service, {"greeter": greeter, "translator": translator}[service])
        case _:
            print("usage: hello_saga.py provision | greeter | translator | greet NAME", file=sys.stderr)
            sys.exit(2)
