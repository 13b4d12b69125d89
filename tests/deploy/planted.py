"""The faults in planted.yaml, to plant in rendered manifests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.manifests import Document, Manifests

PLACES = {
    "POD": "spec.template.spec",
    "BOX": "spec.template.spec.containers.0",
    "CRON_POD": "spec.jobTemplate.spec.template.spec",
    "CRON_BOX": "spec.jobTemplate.spec.template.spec.containers.0",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong value; None removes the field."""

    overlay: str
    kind: str
    name: str
    path: str
    value: Any

    def __str__(self) -> str:
        return f"{self.overlay}: {self.kind} {self.name} {self.path}={self.value}"

    def plant(self, manifests: Manifests) -> None:
        """Change the manifests. Raises KeyError or IndexError if the path to the last name is missing."""
        first, *names = self.path.split(".")
        *names, last = [*PLACES.get(first, first).split("."), *names]
        (place,) = (each for each in manifests.of(self.kind) if self._names(each))
        for name in names:
            place = place[int(name) if isinstance(place, list) else name]
        key: Any = int(last) if isinstance(place, list) else last.replace("/dot/", ".")
        if self.value is None:
            del place[key]
        else:
            assert not isinstance(place, dict) or place.get(key) != self.value
            place[key] = self.value

    def _names(self, document: Document) -> bool:
        name = document["metadata"]["name"]
        return name == self.name or (self.kind == "ConfigMap" and name.startswith(f"{self.name}-"))


FAULTS = [Fault(*fault) for fault in yaml.safe_load(Path(__file__).with_name("planted.yaml").read_text())]
