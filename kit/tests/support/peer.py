"""A second process at a broker: `python -m tests.support.peer hold|echo SUBSCRIPTION embedded|pubsub WHERE…`.

`hold` receives messages and never settles them; `echo` publishes each to the topic `echoes` and
acknowledges it. The process prints `ready` when it pulls, and `hold` prints each message body.
"""

import asyncio
import sys
from pathlib import Path

from sagakit.bus import Bus, Delivery, Message
from tests.support.brokers import Broker

ECHOES = "echoes"


async def hold(bus: Bus, delivery: Delivery) -> None:
    print_line(delivery.message.data.decode())


async def echo(bus: Bus, delivery: Delivery) -> None:
    await bus.publish(ECHOES, [Message(delivery.message.data, {})])
    delivery.ack()


def print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(what: str, subscription: str, broker: str, *where: str) -> None:
    file, project, emulator = (where[0], "", "") if broker == "embedded" else ("", *where)
    deal = {"hold": hold, "echo": echo}[what]
    async with Broker(broker, Path(file), project, emulator).open() as bus:
        tasks = set()
        bus.subscribe(subscription, lambda each: tasks.add(asyncio.create_task(deal(bus, each))), 100)
        print_line("ready")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
