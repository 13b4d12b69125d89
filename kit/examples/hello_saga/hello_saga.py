"""Two services with event types of their own, on one SQLite file. See README.md."""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import sagakit
from sagakit import Changes, Decide, Entity, Event, EventType, Key, Kit, Outcome, Service, Snapshot
from sagakit.backends import open_backend, open_provisioner
from sagakit.run import main

TOPOLOGY = sagakit.Topology(
    services=(
        sagakit.ServiceDeclaration("greeter", topic="greeter", subscribes_to=("client", "translator")),
        sagakit.ServiceDeclaration("translator", topic="translator", subscribes_to=("greeter",)),
    ),
    foreign_topics={"client": "requests"},
)
DEFAULTS = {"BACKEND": "embedded", "EMBEDDED_FILE": "hello.sqlite3", "PORT": "0"}


@dataclass(frozen=True)
class Person:
    name: str


@dataclass(frozen=True)
class Translation:
    name: str
    text: str


REQUESTED = EventType("hello.Requested", Person)
GREETED = EventType("hello.Greeted", Person)
TRANSLATED = EventType("hello.Translated", Translation)


async def once(kit: Kit, event: Event, keys: Sequence[Key], decide: Decide[Outcome]) -> Outcome:
    applied_once = kit.inbox.once(event.eventid, decide, load=lambda _: Outcome.DUPLICATE)
    return (await kit.store.transact(keys, applied_once)).result


def greeter(kit: Kit) -> Service:
    """Stores a greeting, publishes it, and publishes it again until the translation arrives."""

    def waiting(name: str, sent: int, now: float) -> Entity:
        return {"text": "", "sent": sent, **sagakit.due_property(name, kit.schedule.next_at(now, sent - 1))}

    async def requested(event: Event, person: Person) -> Outcome:
        key, now = Key("Greeting", person.name), kit.runtime.now()
        greeted = GREETED.encode(person, kit.runtime.new_id(), now)

        def decide(found: Snapshot) -> Changes[Outcome]:
            if found.get(key) is not None:
                return Changes(Outcome.IGNORED)
            return Changes(Outcome.APPLIED, {key: waiting(key.name, 1, now)}, [greeted])

        return await once(kit, event, [key], decide)

    async def translated(event: Event, translation: Translation) -> Outcome:
        greeting = {Key("Greeting", translation.name): {"text": translation.text}}
        return await once(kit, event, [*greeting], lambda _: Changes(Outcome.APPLIED, greeting))

    def remind(name: str, entity: Entity, now: float, eventid: str) -> Changes[str | None]:
        greeting = {Key("Greeting", name): waiting(name, entity["sent"] + 1, now)}
        reminder = GREETED.encode(Person(name), eventid, now, is_reminder=True)
        return Changes("translator", greeting, [reminder])

    handlers = {REQUESTED: requested, TRANSLATED: translated}
    return Service(handlers=handlers, publishes=[GREETED], reminders={"Greeting": remind})


def translator(kit: Kit) -> Service:
    async def greeted(event: Event, person: Person) -> Outcome:
        translation = Translation(person.name, "bonjour")
        reply = TRANSLATED.encode(translation, kit.runtime.new_id(), kit.runtime.now())
        return await once(kit, event, (), lambda _: Changes(Outcome.APPLIED, events=[reply]))

    return Service(handlers={GREETED: greeted}, publishes=[TRANSLATED])


async def provision() -> None:
    async with open_provisioner(os.environ) as provisioner:
        for topic in ("requests", *TOPOLOGY.all_topics()):
            await provisioner.ensure_topic(topic)
        for spec in TOPOLOGY.subscription_specs():
            await provisioner.ensure_subscription(spec)


async def greet(name: str) -> None:
    settings, key = sagakit.BackendSettings.from_environ(os.environ), Key("Greeting", name)
    async with open_backend(settings, sagakit.Runtime()) as backend:
        runtime = sagakit.Runtime()
        request = REQUESTED.encode(Person(name), runtime.new_id(), runtime.now())
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
            os.environ.update(TOPOLOGY.environ(service))
            main(service, {"greeter": greeter, "translator": translator}[service])
        case _:
            print("usage: hello_saga.py provision | greeter | translator | greet NAME", file=sys.stderr)
            sys.exit(2)
