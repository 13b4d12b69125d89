"""`python -m tests.chaos.game_day`: the experiments of docs/game-day.md, on local processes or a cluster."""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sagactl.project import PROJECT
from sagakit.ctl.local.emulators import FIRESTORE, PUBSUB, why_unavailable
from tests.chaos.on_cluster import on_cluster
from tests.chaos.on_suite import on_suite
from tests.chaos.run import DRAINING, QUICK_REMINDERS, ChaosRun
from tests.chaos.stage import LocalStage, NotPossibleError, Stage
from tests.chaos.versions import CURRENT
from tests.support.wall_clock import COMPILER, WallClock

HOT_CUSTOMERS = 32
OVERLOAD_CUSTOMERS = 1280
POISON = 3
SKEW_SECONDS = 60
RUNNING_SECONDS = 60.0
"""How long a fault lasts on a suite that is running already, unless DURATION is given."""
FIGURES = ("orders accepted", "endings", "overloaded", "afterwards", "MB at most")


async def pod_killed(stage: Stage, seconds: float) -> None:
    for service in PROJECT.programs:
        await stage.kill(service)
        await asyncio.sleep(seconds / len(PROJECT.programs))


async def node_drained(stage: Stage, seconds: float) -> None:
    async with stage.drained_node():
        await asyncio.sleep(seconds)


async def broker_emptied(stage: Stage, seconds: float) -> None:
    # So that messages wait there, and their loss is felt.
    await stage.sagactl("faults", "set", "--pause", "stock")
    try:
        await asyncio.sleep(seconds)
        await stage.empty_broker()
    finally:
        await stage.sagactl("faults", "set", "--resume", "stock")


async def provider_away(stage: Stage, seconds: float) -> None:
    await stage.sagactl("faults", "set", "--provider-unavailable")
    try:
        await asyncio.sleep(seconds)
        stage.say(f"{await stage.open_orders()} orders are open, among them those that wait for the provider")
    finally:
        await stage.sagactl("faults", "clear")


async def poison_published(stage: Stage, seconds: float) -> None:
    await stage.sagactl("faults", "set", "--dead-letters", str(POISON))
    try:
        await asyncio.sleep(seconds)
        found = (await stage.sagactl("dlq", "list")).count("fault-")
        stage.say(f"{found} dead letters; orders continue")
        if found != POISON:
            stage.problems.append(f"{found} dead letters instead of {POISON}")
    finally:
        await stage.sagactl("faults", "clear")


async def clock_skewed(stage: Stage, seconds: float) -> None:
    for skew in (SKEW_SECONDS, -SKEW_SECONDS):
        async with stage.skewed(skew):
            await asyncio.sleep(seconds / 2)


async def hot_item(stage: Stage, seconds: float) -> None:
    answers = await stage.hot_load(HOT_CUSTOMERS, {"blue": 1}, seconds)
    stage.say(f"{HOT_CUSTOMERS} customers order nothing but blue; answers: {dict(sorted(answers.items()))}")


async def overload(stage: Stage, seconds: float) -> None:
    """Overload a cluster; on this machine `ChaosRun.overload` does that, and measures more."""
    answers = await stage.hot_load(OVERLOAD_CUSTOMERS, {"blue": 1}, seconds)
    stage.say(f"{OVERLOAD_CUSTOMERS} customers; answers: {dict(sorted(answers.items()))}")
    if not answers.get("retried"):
        stage.say("no request was rejected: this was no overload")


async def rolled_back(stage: Stage, seconds: float) -> None:
    async with stage.half_rolled_out():
        await asyncio.sleep(seconds)


async def restored(stage: Stage, seconds: float) -> None:
    async with stage.restored("payment"):
        await asyncio.sleep(seconds)
    for _ in range(2):
        done = await stage.sagactl("reconcile", "--execute", "--older-than", "0", "--rate", "1000")
        stage.say(done.strip().splitlines()[-1])
        await asyncio.sleep(1)


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment of the page."""

    run: Callable[[Stage, float], Awaitable[None]]
    expect: str
    alarms: Sequence[str]
    """That may fire if it lasts as long as in production (deploy/monitoring/rules.yaml)."""
    seconds: float = 3.0
    """How long the fault lasts, unless DURATION is given."""
    may_fail_requests: bool = True
    """Whether requests may fail, so that customers retry them."""


EXPERIMENTS: Mapping[str, Experiment] = {
    "pod-killed": Experiment(pod_killed, "the other replica continues; its events are redelivered", [], 5),
    "node-drained": Experiment(
        node_drained, "no request fails, no order is late", [], may_fail_requests=False
    ),
    "broker-emptied": Experiment(broker_emptied, "reminders replace what was lost", ["LateOrdersFastBurn"]),
    "provider-away": Experiment(
        provider_away,
        "orders wait in reserved, free ones are approved; no order is charged twice",
        ["SubscriptionNotPulled", "OrdersNotFinishing", "LateOrdersFastBurn"],
    ),
    "poison-published": Experiment(poison_published, "dead letters, and nothing else", ["DeadLetters"]),
    "clock-skewed": Experiment(clock_skewed, "nothing", []),
    "hot-item": Experiment(hot_item, "every order gets its unit", ["ConsumerSaturated"]),
    "overload": Experiment(
        overload, "requests are rejected, what is accepted ends", ["RequestsFailing", "ConsumerSaturated"], 20
    ),
    "rollback": Experiment(
        rolled_back, "both versions work side by side; no request fails", [], may_fail_requests=False
    ),
    "restore": Experiment(
        restored, "sagactl reconcile ends what payment has forgotten", ["AuditUnbalanced", "ServiceDown"]
    ),
}


async def perform(stage: Stage, name: str, seconds: float | None) -> None:
    """Perform an experiment on a suite under load, and wait until what it delayed has ended."""
    experiment, since = EXPERIMENTS[name], time.monotonic()
    announce(name, duration := experiment.seconds if seconds is None else seconds)
    retried = stage.retried
    try:
        await experiment.run(stage, duration)
    except NotPossibleError as error:
        stage.say(f"skipped: {error}")
        return
    await stage.recover(since)
    if retried := stage.retried - retried:
        stage.say(f"{retried} requests were retried")
    if retried and not experiment.may_fail_requests:
        stage.problems.append(f"{name}: {retried} requests failed")


async def on_this_machine(run: ChaosRun, names: Sequence[str], seconds: float | None) -> None:
    """Perform the experiments one after the other on one suite."""
    versions = [CURRENT]
    with tempfile.TemporaryDirectory() as folder:
        clock = None
        if "clock-skewed" in names and sys.platform == "linux" and COMPILER:
            clock = WallClock(Path(folder))
            versions.append(replace(CURRENT, name="skewed", environ={**CURRENT.environ, **clock.environ}))
        environ = {**QUICK_REMINDERS, **DRAINING}
        async with run.suite(environ, versions=versions, removing="rollback" not in names) as on:
            stage = LocalStage(*on, run.seed, clock)
            for name in names:
                await perform(stage, name, seconds)
            run.problems += stage.problems


async def overloaded(run: ChaosRun, seconds: float | None) -> None:
    announce("overload", duration := EXPERIMENTS["overload"].seconds if seconds is None else seconds)
    await run.overload(duration)


def announce(name: str, seconds: float) -> None:
    experiment = EXPERIMENTS[name]
    print(f"{name}, {seconds:g} s. Expect: {experiment.expect}")
    print(f"  alarms, if it lasts: {', '.join(experiment.alarms) or 'none'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="game-day")
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=f"of: {', '.join(EXPERIMENTS)}")
    parser.add_argument("--seconds", type=float, help="how long the fault lasts; default: a few seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backend", choices=("embedded", "emulators"), default="embedded")
    running = parser.add_mutually_exclusive_group()
    running.add_argument("--gateway", metavar="URL", help="of a cluster, kubectl's current one")
    running.add_argument("--running", action="store_true", help="on the suite that `make run` has started")
    options = parser.parse_args()
    names = options.experiments or list(EXPERIMENTS)
    if unknown := {*names} - {*EXPERIMENTS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; experiments: {', '.join(EXPERIMENTS)}")
    if options.backend == "emulators" and (missing := why_unavailable(FIRESTORE, PUBSUB)):
        sys.exit(f"no emulators: {missing}")
    logging.getLogger("google").setLevel(logging.CRITICAL)
    each = partial(perform, seconds=RUNNING_SECONDS if options.seconds is None else options.seconds)
    if options.gateway:
        problems = asyncio.run(on_cluster(options.gateway, names, each))
    elif options.running:
        problems = asyncio.run(on_suite(names, each))
    else:
        problems = _locally(options, names)
    if problems:
        print(f"{len(problems)} problems", *problems[:30], sep="\n  ")
        sys.exit(1)
    print("no order lost, duplicated or unfinished: everything balances")


def _locally(options: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """Perform the experiments on one suite, but an overload on a suite of its own; return what is wrong."""
    together = [name for name in names if name != "overload"]
    performances = [lambda run: on_this_machine(run, together, options.seconds)] if together else []
    performances += [lambda run: overloaded(run, options.seconds)] if "overload" in names else []
    problems = []
    for performance in performances:
        run = ChaosRun(options.seed, options.backend)
        asyncio.run(performance(run))
        for name in filter(run.figures.__contains__, FIGURES):
            print(f"{name}: {run.figures[name]}")
        run.close()
        problems += [*run.problems, f"logs: {run.logs}"] if run.problems else []
    return problems


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
