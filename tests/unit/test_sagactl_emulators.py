"""Whether Google's emulators can be started, and the missing component if not."""

import pytest

from sagakit.ctl.local.emulators import FIRESTORE, PUBSUB, why_unavailable


class Machine:
    """A PATH of its own, and an SDK for components of gcloud."""

    def __init__(self, directory):
        self.directory = directory
        self.environ = {"PATH": str(directory / "bin")}

    def has(self, path):
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o755)

    def links_gcloud(self):
        self.has("sdk/bin/gcloud")
        (self.directory / "bin").mkdir()
        (self.directory / "bin/gcloud").symlink_to("../sdk/bin/gcloud")

    def why_unavailable(self, *emulators):
        return why_unavailable(*emulators, environ=self.environ)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_missing_part_is_the_reason(machine):
    assert machine.why_unavailable(FIRESTORE) == "no gcloud on the PATH"
    machine.links_gcloud()
    assert machine.why_unavailable(FIRESTORE) == "no java on the PATH"
    machine.has("bin/java")
    machine.has(f"sdk/platform/{FIRESTORE.jar}")
    assert machine.why_unavailable(FIRESTORE) is None
    assert machine.why_unavailable(FIRESTORE, PUBSUB) == "gcloud lacks the component pubsub-emulator"


def test_java_home_comes_before_the_path(machine, tmp_path):
    machine.links_gcloud()
    machine.has("jdk/bin/java")
    machine.has(f"sdk/platform/{FIRESTORE.jar}")

    machine.environ["JAVA_HOME"] = str(tmp_path / "jdk")

    assert machine.why_unavailable(FIRESTORE) is None
