"""Whether Google's emulators can be started, and the missing component if not."""

import pytest

from sagactl.local.emulators import FIRESTORE, PUBSUB, why_unavailable


@pytest.fixture
def machine(tmp_path):
    """Return an object that installs programs on a PATH of its own, and components of gcloud."""

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


def test_missing_gcloud_is_the_reason(machine):
    assert why_unavailable(FIRESTORE, environ=machine.environ) == "no gcloud on the PATH"


def test_missing_java_is_the_reason(machine):
    machine.links_gcloud()

    assert why_unavailable(FIRESTORE, environ=machine.environ) == "no java on the PATH"


def test_missing_component_is_the_reason(machine):
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
