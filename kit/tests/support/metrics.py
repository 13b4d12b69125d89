"""Metrics as Prometheus series, and the samples that are exposed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import httpx
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sagakit.telemetry.instruments import Counter, Histogram, Instrument, Metrics
from sagakit.telemetry.prometheus import open_meter_provider


@dataclass(frozen=True)
class Series:
    """A series' name and its labels."""

    name: str
    labels: frozenset[str]


def base_name(instrument: Instrument) -> str:
    """Return the exported name without the suffix for the instrument's kind."""
    return instrument.name.replace(".", "_") + ("_seconds" if instrument.unit == "s" else "")


def series_of(instrument: Instrument) -> Iterator[Series]:
    name, labels = base_name(instrument), frozenset(each.replace(".", "_") for each in instrument.attributes)
    match instrument:
        case Histogram():
            yield Series(f"{name}_bucket", labels | {"le"})
            yield Series(f"{name}_sum", labels)
            yield Series(f"{name}_count", labels)
        case Counter():
            yield Series(f"{name}_total", labels)
        case _:
            yield Series(name, labels)


class Samples(list[tuple[str, dict[str, str], float]]):
    """The samples of one scrape."""

    def series(self) -> set[Series]:
        return {Series(name, frozenset(labels)) for name, labels, _ in self}

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of all samples with these labels; 0 if there are none."""
        return sum(value for found, has, value in self if found == name and labels.items() <= has.items())


def parsed(text: str) -> Samples:
    return Samples(
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )


def scraped(addresses: Iterable[str]) -> Samples:
    """Scrape all addresses, and return their samples together."""
    answers = [httpx.get(f"http://{each}/metrics", trust_env=False, timeout=20) for each in addresses]
    return Samples(sample for answer in answers for sample in parsed(answer.raise_for_status().text))


class Measured:
    """Metrics that are collected without an endpoint."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.metrics = Metrics(open_meter_provider(self._registry, "test").get_meter("saga"))

    def samples(self) -> Samples:
        return parsed(generate_latest(self._registry).decode())

    def value(self, name: str, **labels: str) -> float:
        return self.samples().value(name, **labels)
