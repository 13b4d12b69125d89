"""SBOMs: what a wheel needs by the lock, what an image has by what is installed."""

import json
from importlib.metadata import distributions

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.image_sbom import debian_packages, interpreter, python_packages, sbom
from deploy.wheel_sbom import direct_requirements, needed_pins

LOCK = """\
alone==1.0 \\
    --hash=sha256:aa
    # via suite (pyproject.toml:build)
direct[extra]==2.1 \\
    --hash=sha256:bb
    # via
    #   another
    #   kit (kit/pyproject.toml)
needed==3 ; sys_platform == 'linux' \\
    --hash=sha256:cc
    # via direct
needed-by-needed==4 \\
    --hash=sha256:dd
    # via
    #   alone
    #   needed
"""
STATUS = """\
Package: libssl3
Status: install ok installed
Architecture: amd64
Version: 3.0.15-1~deb12u1
Description: a library
 Version: no field, but text

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1:2+b1

Package: libc-bin
Status: install ok installed
Architecture: amd64
Version: 1:2.36-9+deb12u9
"""
RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\nVERSION_ID="12"\n'


def test_pins_of_a_wheel_are_those_that_it_needs():
    pins = needed_pins(LOCK, ["direct", "not-pinned"])

    assert [line for line in pins.splitlines() if line[0].isalpha()] == [
        "direct[extra]==2.1 \\",
        "needed==3 ; sys_platform == 'linux' \\",
        "needed-by-needed==4 \\",
    ]
    assert pins.count("--hash") == 3


def test_wheel_without_pins_is_an_error():
    with pytest.raises(ValueError, match="none of the packages is pinned"):
        needed_pins(LOCK, ["elsewhere"])


def test_direct_requirements_are_those_of_every_extra():
    pyproject = """
        [project]
        dependencies = ["Direct_One>=1; python_version > '3'"]
        [project.optional-dependencies]
        auth = ["pyjwt[crypto]"]
    """

    assert [*direct_requirements(pyproject)] == ["direct-one", "pyjwt"]


def test_debian_packages_are_the_installed_ones():
    assert [each["purl"] for each in debian_packages(STATUS, RELEASE)] == [
        "pkg:deb/debian/libssl3@3.0.15-1~deb12u1?arch=amd64&distro=debian-12",
        "pkg:deb/debian/libc-bin@1%3A2.36-9%2Bdeb12u9?arch=amd64&distro=debian-12",
    ]


def test_sbom_of_an_image_is_valid_and_sorted():
    found = [*debian_packages(STATUS, RELEASE), interpreter(), *python_packages(distributions())]

    document = sbom("saga-stock", "1.0", iter(reversed(found)))

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None
    purls = [each["purl"] for each in document["components"]]
    assert purls == sorted(purls)
    assert document["dependencies"][0] == {"ref": "saga-stock", "dependsOn": purls}
    licences = {each["name"]: each.get("licenses") for each in document["components"]}
    assert licences["grpcio"] == [{"expression": "Apache-2.0"}]
