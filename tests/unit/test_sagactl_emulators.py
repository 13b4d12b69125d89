"""Whether Google's emulators can be started here, and what is missing."""

import pytest

from sagactl.local.emulators import FIRESTORE, PUBSUB, why_unavailable


@pytest.fixture
def machine(tmp_path):
    """Puts programs on a PATH of its own, and components beside gcloud."""

    class Machine:
        def __init__(self):
            self.environ = {"PATH": str(tmp_path / "bin")}

        def has(self, path):
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o755)

        def links_gcloud(self):
            self.has("sdk/bin/gcloud")
            (tmp_path / "bin").mkdir()
            (tmp_path / "bin/gcloud").symlink_to("../sdk/bin/gcloud")

    return Machine()


def test_without_gcloud_there_are_none(machine):
    assert why_unavailable(FIRESTORE, environ=machine.environ) == "no gcloud on the PATH"


def test_without_java_there_are_none(machine):
    machine.links_gcloud()

    assert why_unavailable(FIRESTORE, environ=machine.environ) == "no java on the PATH"


def test_a_component_that_is_not_installed_is_named(machine):
    machine.links_gcloud()
    machine.has("bin/java")
    machine.has(f"sdk/platform/{FIRESTORE.jar}")

    assert why_unavailable(FIRESTORE, environ=machine.environ) is None
    missing = why_unavailable(FIRESTORE, PUBSUB, environ=machine.environ)
    assert missing == "gcloud lacks the component pubsub-emulator"


def test_java_home_comes_before_the_path(machine, tmp_path):
    machine.links_gcloud()
    machine.has("jdk/bin/java")
    machine.has(f"sdk/platform/{FIRESTORE.jar}")

    environ = {**machine.environ, "JAVA_HOME": str(tmp_path / "jdk")}

    assert why_unavailable(FIRESTORE, environ=environ) is None
