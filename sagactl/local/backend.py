"""Which backend a local run uses: emulators that run, emulators to be started, or the embedded one."""

from collections.abc import Mapping
from dataclasses import dataclass

from sagactl.errors import CommandError

AUTO, EMULATORS, EMBEDDED = "auto", "emulators", "embedded"
CHOICES = (AUTO, EMULATORS, EMBEDDED)

DATASTORE_HOST, PUBSUB_HOST = "DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and why in a line."""

    backend: str
    """EMULATORS or EMBEDDED."""
    why: str
    named: Mapping[str, str] | None = None
    """The emulators the environment names, by its variables; None: they are to be started."""


def choose(requested: str, environ: Mapping[str, str], missing: str | None) -> Choice:
    """`missing`: what keeps Google's emulators from being started here.

    CommandError where emulators are asked for and cannot be had, or only one of the two is named.
    """
    if requested == EMBEDDED:
        return Choice(EMBEDDED, f"BACKEND={EMBEDDED}")
    named = {name: environ[name] for name in (DATASTORE_HOST, PUBSUB_HOST) if environ.get(name)}
    if len(named) == 1:
        raise CommandError(_half_named(*named))
    if named:
        return Choice(EMULATORS, "named by " + " and ".join(named), named)
    if missing is None:
        return Choice(
            EMULATORS, f"BACKEND={EMULATORS}" if requested == EMULATORS else "found gcloud and Java"
        )
    if requested == EMULATORS:
        raise CommandError(f"cannot start Google's emulators: {missing}; BACKEND={EMBEDDED} needs nothing")
    return Choice(EMBEDDED, missing)


def _half_named(name: str) -> str:
    other = PUBSUB_HOST if name == DATASTORE_HOST else DATASTORE_HOST
    return f"{name} is set, {other} is not; set both, or none, or BACKEND={EMBEDDED}"
