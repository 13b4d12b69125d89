"""Print the SBOM (CycloneDX) of an image: `python image_sbom.py NAME`, in a stage of its build.

It lists what is installed there: Python itself, the packages of its environment, and Debian's packages.
"""

import json
import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from runpy import run_path
from typing import Any
from urllib.parse import quote

STATUS, RELEASE = Path("/var/lib/dpkg/status"), Path("/etc/os-release")
Component = dict[str, Any]


def sbom(name: str, version: str, found: Iterator[Component]) -> Component:
    """Return the document: sorted and without times, so that the same contents make the same bytes."""
    image = {"type": "container", "bom-ref": name, "name": name, "version": version}
    components = sorted(found, key=lambda each: each["purl"])
    for each in components:
        each["bom-ref"] = each["purl"]
    refs = [each["bom-ref"] for each in components]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": image},
        "components": components,
        "dependencies": [{"ref": name, "dependsOn": refs}, *({"ref": ref} for ref in refs)],
    }


def interpreter() -> Component:
    version = platform.python_version()
    return {
        **_component("generic", "python", version),
        "cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
    }


def python_packages(found: Iterator[Distribution]) -> Iterator[Component]:
    for each in found:
        name = re.sub(r"[-_.]+", "-", each.name).lower()
        licences = each.metadata.get_all("License-Expression")
        yield {
            **_component("pypi", name, each.version),
            **({"licenses": [{"expression": licence} for licence in licences]} if licences else {}),
        }


def debian_packages(status: str, release: str) -> Iterator[Component]:
    """Yield the installed packages by the text of dpkg's status and of os-release."""
    system = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', release, re.MULTILINE))
    distro = f"{system.get('ID', 'debian')}-{system.get('VERSION_ID', '')}".rstrip("-")
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            about = f"?arch={fields['Architecture']}&distro={distro}"
            kind = f"deb/{system.get('ID', 'debian')}"
            yield _component(kind, fields["Package"], fields["Version"], about)


def _component(kind: str, name: str, version: str, about: str = "") -> Component:
    purl = f"pkg:{kind}/{quote(name)}@{quote(version, safe='')}{about}"
    return {"type": "library", "name": name, "version": version, "purl": purl}


def _installed() -> Iterator[Component]:
    yield interpreter()
    yield from python_packages(iter(distributions()))
    yield from debian_packages(STATUS.read_text(), RELEASE.read_text())


if __name__ == "__main__":
    release = run_path("sagakit/version.py")["__version__"]
    document = sbom(sys.argv[1].replace("_", "-"), release, _installed())
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
