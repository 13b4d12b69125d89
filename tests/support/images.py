"""Images without a container runtime: built by buildah, run in a chroot as Kubernetes would run them."""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.topology import TOPOLOGY
from tests.support.manifests import ROOT, Container, Workload

PREFIX = "localhost/saga"
BASE = f"{PREFIX}/ci-base:bookworm"
IMAGES = (*TOPOLOGY.names, "gateway", "sagactl")
TOOLS = ("buildah", "mmdebstrap")
# A PID namespace, as in a container: signals that process 1 does not handle have no effect.
_ALONE = ("unshare", "--pid", "--fork", "--kill-child", "--mount", "--propagation", "private")
_OPTIONS = ("--isolation", "chroot", "--network", "host", "--pull-never", "--quiet")
_EPOCH = 1_764_194_400
"""The time of every file, in seconds since the epoch."""
_SUDO = () if os.geteuid() == 0 else ("sudo", "-n")

# The root is read-only except for the manifest's mounts; only these parts of the machine are visible.
_ENTER = """
mount --bind "$ROOTFS" "$ROOTFS"
for path in dev proc; do mount --rbind "/$path" "$ROOTFS/$path"; done
for name in hosts resolv.conf; do mount --bind "$ETC/$name" "$ROOTFS/etc/$name"; done
for path in $WRITABLE; do mount -t tmpfs -o mode=1777 tmpfs "$ROOTFS$path"; done
mount -o remount,bind,ro "$ROOTFS"
exec chroot --userspec="$OWNER" "$ROOTFS" "$@"
"""


def missing() -> str | None:
    """Return what this machine lacks to build and run images, or None."""
    for tool in TOOLS:
        if shutil.which(tool) is None:
            return f"{tool} is missing"
    if _SUDO and subprocess.run([*_SUDO, "true"], capture_output=True, check=False).returncode:
        return "neither root nor sudo"
    return None


def build_all(tag: str) -> None:
    """Build every image as `make images` does."""
    if not run("buildah", "images", "--quiet", "--filter", f"reference={BASE}"):
        run(str(ROOT / "tests/deploy/base-image"), BASE)
    script = str(ROOT / "deploy/images")
    options = ("BUILDER=buildah", f"BUILDAH_OPTIONS={shlex.join(_OPTIONS)}", f"SOURCE_DATE_EPOCH={_EPOCH}")
    run("env", *options, script, "build", PREFIX, tag, BASE)


def build(name: str, context: Path) -> "Image":
    """Build the image of a service from the files in `context`, without the cache; it is not kept."""
    arguments = ("--build-arg", f"BASE={BASE}", "--build-arg", f"SERVICE={name}", "--target", "service")
    options = (*_OPTIONS, "--layers", "--no-cache", "--timestamp", str(_EPOCH))
    image = run("buildah", "bud", *options, *arguments, str(context)).splitlines()[-1]
    try:
        return _image(name, image, Path())
    finally:
        run("buildah", "rmi", image)


def run(*argv: str) -> str:
    """Run the command and return its output; fail the test with all output if the command fails."""
    done = subprocess.run([*_SUDO, *argv], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{shlex.join(argv)}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Image:
    """An image: its files and its configuration."""

    name: str
    rootfs: Path
    config: Mapping[str, Any]
    layers: Sequence[str]
    """The digests of their contents."""

    @property
    def environ(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.config["Env"])

    def start(
        self, workload: Workload, container: Container, environ: Mapping[str, str], etc: Path, log: Path
    ) -> subprocess.Popen[bytes]:
        """Start the container's process with the manifest's user, arguments and volumes.

        `etc` has its `hosts` and `resolv.conf`.
        """
        context = workload.pod["securityContext"]
        assert container.spec["securityContext"]["readOnlyRootFilesystem"]
        mounts = [mount["mountPath"] for mount in container.spec.get("volumeMounts", ())]
        variables = {**self.environ, **environ}
        assignments = [f"{name}={value}" for name, value in variables.items()]
        argv = [*self.config["Entrypoint"], *container.spec.get("args", ())]
        settings = {
            "ROOTFS": str(self.rootfs),
            "ETC": str(etc),
            "WRITABLE": " ".join(mounts),
            "OWNER": f"{context['runAsUser']}:{context['runAsGroup']}",
        }
        enter = ["env", *(f"{name}={value}" for name, value in settings.items())]
        inside = ["env", "--ignore-environment", f"--chdir={self.config['WorkingDir']}", *assignments, *argv]
        with log.open("ab") as output:
            return subprocess.Popen(
                [*_SUDO, *enter, *_ALONE, "sh", "-ec", _ENTER, "sh", *inside],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def start_as_root(*argv: str) -> subprocess.Popen[bytes]:
    """Start a process that needs a port below 1024."""
    return subprocess.Popen([*_SUDO, *argv], cwd=ROOT, start_new_session=True)


def terminate(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM to the process inside, as a cluster does."""
    pid = process.pid
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pid = int(children[0])
    run("kill", "-TERM", str(pid))


@contextmanager
def opened(names: Sequence[str], tag: str) -> Iterator[dict[str, Image]]:
    """Mount the images; yield them by name and remove the containers afterwards."""
    containers = []
    try:
        images = {}
        for name in names:
            image = f"{PREFIX}/{name}:{tag}"
            container = run("buildah", "from", "--pull-never", image)
            containers.append(container)
            rootfs = Path(run("buildah", "mount", container))
            run("touch", str(rootfs / "etc/hosts"), str(rootfs / "etc/resolv.conf"))
            images[name] = _image(name, image, rootfs)
        yield images
    finally:
        for container in containers:
            run("buildah", "rm", container)


def _image(name: str, reference: str, rootfs: Path) -> Image:
    about = json.loads(run("buildah", "inspect", "--type", "image", reference))["OCIv1"]
    return Image(name, rootfs, about["config"], about["rootfs"]["diff_ids"])
