"""The performance targets. Targets whose figures were not measured are left out."""

from collections.abc import Iterator, Mapping

from bench.figures import Figures, Target, at_least, at_most

EMBEDDED_IDLE_MS = 30
OVER_RAW_CHAIN_MS = 25


def targets(results: Mapping[str, Figures]) -> list[Target]:
    return [*_idle(results), *_throughput(results), *_others(results), *_growth(results)]


def _idle(results: Mapping[str, Figures]) -> Iterator[Target]:
    for itemid, hops in (("red", 2), ("blue", 3)):
        saga, raw = _p50(results, f"saga, {itemid}, idle"), _p50(results, f"raw chain, {hops} hops")
        if saga and raw:
            yield at_most(f"idle saga p50, {itemid}, over the raw chain", saga - raw, OVER_RAW_CHAIN_MS, "ms")
        elif saga and itemid == "red":
            yield at_most("idle saga p50, red, embedded", saga, EMBEDDED_IDLE_MS, "ms")


def _throughput(results: Mapping[str, Figures]) -> Iterator[Target]:
    for clients in (64, 256):
        rate, raw = _rate(results, f"red, {clients} clients"), _rate(results, f"raw rate, {clients} clients")
        if rate and raw:
            yield at_least(f"throughput, {clients} clients, of the raw rate", 100 * rate / raw, 60, "%")
    rate, baseline = _rate(results, "red, 64 clients"), _rate(results, "baseline, 16 clients")
    if rate and baseline:
        yield at_least(
            "throughput, 64 clients, of the textbook implementation's", rate / baseline, 5, "times"
        )
    hot, different = _rate(results, "hot item, 64 clients"), _rate(results, "different items, 64 clients")
    if hot and different:
        yield at_least("a hot item, of different items", 100 * hot / different, 85, "%")


def _others(results: Mapping[str, Figures]) -> Iterator[Target]:
    busy = results.get("red, 64 clients")
    if busy and "raw rate, 64 clients" in results:
        yield at_most("CPU of all our processes per order", busy["cpu_ms"], 4.5, "ms")
    if busy:
        yield at_most("memory of a process", max(busy["mb_of"].values()), 115, "MB")
    if calls := results.get("calls of Datastore, red, 64 clients"):
        yield at_most("calls of Datastore an order, 64 clients", sum(calls.values()), 6, "")
    if soak := results.get("soak"):
        growth = max(soak["mb_at_last"][name] / megabytes for name, megabytes in soak["mb_at_first"].items())
        yield at_most("memory after the soak, of that after a tenth", 100 * growth, 110, "%")
    if start := results.get("start of a service"):
        yield at_most("start of a service to serving", start["median_s"], 1.5, "s")


def _growth(results: Mapping[str, Figures]) -> Iterator[Target]:
    if "grown tables, idle" not in results:
        return
    empty, grown = _p50(results, "empty tables, idle"), _p50(results, "grown tables, idle")
    yield at_most("idle saga p50, grown tables, of empty ones", 100 * grown / empty, 110, "%")
    before, after = results["empty tables, 16 clients"], results["grown tables, 16 clients"]
    ratio = 100 * after["orders_per_s"] / before["orders_per_s"]
    yield at_least("throughput, grown tables, of empty ones", ratio, 90, "%")
    few, many = (sum(results[f"{name} tables, an order"].values()) for name in ("empty", "grown"))
    yield at_most("operations, grown tables, of empty ones", 100 * many / few, 110, "%")


def _p50(results: Mapping[str, Figures], name: str) -> float:
    return float(results.get(name, {}).get("p50_ms", 0))


def _rate(results: Mapping[str, Figures], name: str) -> float:
    return float(results.get(name, {}).get("orders_per_s", 0))
