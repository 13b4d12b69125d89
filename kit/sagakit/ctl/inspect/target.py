"""Which suite a command acts on: the one that runs in the run directory, else the environment's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sagakit.ctl.errors import CommandError
from sagakit.ctl.local.runfile import Suite, read_suite
from sagakit.settings import BackendSettings, SettingsError


@dataclass(frozen=True, slots=True)
class Target:
    """A suite, and its backend."""

    environ: Mapping[str, str]
    """The environment, with the variables that name the backend."""
    settings: BackendSettings
    suite: Suite | None
    """None: the environment names the backend."""
    run_dir: Path

    def __str__(self) -> str:
        if self.suite is not None:
            return describe_local(self.suite, self.run_dir)
        settings = self.settings
        if settings.backend == "embedded":
            return f"embedded, in {settings.embedded_file}"
        emulators = ", ".join(filter(None, (settings.datastore_emulator, settings.pubsub_emulator)))
        where = f" at the emulators {emulators}" if emulators else " of Google Cloud"
        database = f", database {settings.database}" if settings.database else ""
        return f"project {settings.project}{database}{where}"


def describe_local(suite: Suite, run_dir: Path) -> str:
    """Return which suite that is, in a few words."""
    return f"local, in {run_dir} ({suite.backend})"


def choose(run_dir: Path, environ: Mapping[str, str]) -> Target:
    """Return the suite that runs in `run_dir`, else the one that `environ` names. Raises CommandError.

    The environment may name a project for everything else that is done in a shell, so it comes last.
    """
    suite = read_suite(run_dir)
    environ = environ if suite is None else {**environ, **suite.environ}
    try:
        return Target(environ, BackendSettings.from_environ(environ), suite, run_dir)
    except SettingsError as error:
        raise CommandError(f"no suite runs in {run_dir}, and {error}") from error
