"""The saga under faults of every kind, on virtual time: `pip install 'sagakit[testing]'`, then `pytest`."""

from collections.abc import Iterable
from dataclasses import replace

from hello_saga import REQUESTED, TOPOLOGY, Person, greeter, translator

from sagakit import Kit, Service
from sagakit.testing import Scenario, Simulation


class Guests(Scenario):
    """Every client asks for a greeting, and all of them must be translated in the end."""

    async def client(self, number: int) -> None:
        guest = Person(f"guest-{number}")
        request = REQUESTED.encode(guest, self.world.new_id(), self.world.now())
        await self.world.publish("requests", request)

    async def problems(self) -> Iterable[str]:
        greetings = self.world.tables.kind("Greeting")
        guests = [f"guest-{number}" for number in range(self.world.sagas)]
        return [f"{guest} has no translation" for guest in guests if not greetings.get(guest, {}).get("text")]


HELLO = Simulation(TOPOLOGY, {"greeter": greeter, "translator": translator}, Guests)


def test_every_greeting_is_translated_whatever_fails() -> None:
    HELLO.check(sagas=500)


def test_a_greeter_without_reminders_is_found() -> None:
    def forgetful(kit: Kit) -> Service:
        """Publishes each greeting once: if it is lost, or its translation, the guest waits for ever."""
        return replace(greeter(kit), reminders={})

    failure = replace(HELLO, services={**HELLO.services, "greeter": forgetful}).finds()

    assert "has no translation" in str(failure)
    print(failure)  # the smallest run that fails, and what happened in it: see it with `pytest -s`
