"""The plan of a local suite: backend, ports and programs."""

import socket
from itertools import count

import pytest

from contract.topology import TOPOLOGY
from sagactl.project import GATEWAY, PROJECT
from sagakit.ctl.errors import CommandError
from sagakit.ctl.local.plan import EMBEDDED, EMULATORS, Choice, Options, choose, make_plan
from sagakit.ctl.local.programs import address_environ, gateway_program, place, service_programs

HOSTS = {"DATASTORE_EMULATOR_HOST": "localhost:1", "PUBSUB_EMULATOR_HOST": "localhost:2"}
EMPTY_PATH = {"PATH": ""}


def planned(tmp_path, environ, backend="embedded", port=0, replicas=1):
    return make_plan(PROJECT, Options(backend, port, replicas, tmp_path), environ)


@pytest.mark.parametrize(
    ("requested", "environ", "missing", "choice"),
    [
        ("auto", HOSTS, "no gcloud on the PATH", Choice(EMULATORS, f"named by {' and '.join(HOSTS)}", HOSTS)),
        ("auto", {}, None, Choice(EMULATORS, "found gcloud and Java")),
        ("auto", {}, "no gcloud on the PATH", Choice(EMBEDDED, "no gcloud on the PATH")),
        ("auto", dict.fromkeys(HOSTS, ""), "no java", Choice(EMBEDDED, "no java")),
        ("embedded", {"PUBSUB_EMULATOR_HOST": "localhost:2"}, None, Choice(EMBEDDED, "BACKEND=embedded")),
    ],
    ids=["running emulators", "installed ones", "neither", "empty variables", "embedded"],
)
def test_backend_is_chosen_with_a_reason(requested, environ, missing, choice):
    assert choose(requested, environ, missing) == choice


def test_missing_emulators_are_an_error_with_the_reason():
    with pytest.raises(CommandError, match="no java on the PATH"):
        choose("emulators", {}, missing="no java on the PATH")


@pytest.mark.parametrize("name", HOSTS)
def test_one_emulator_without_the_other_is_an_error(name):
    with pytest.raises(CommandError, match=f"{name} is set"):
        choose("auto", {name: "localhost:1"}, missing=None)


def test_emulators_are_read_in_the_forms_that_gcloud_prints():
    environ = {"DATASTORE_EMULATOR_HOST": "::1:8081", "PUBSUB_EMULATOR_HOST": " http://0.0.0.0:8085/"}

    chosen = choose("auto", environ, missing=None)

    assert chosen.hosts == {
        "DATASTORE_EMULATOR_HOST": "[::1]:8081",
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:8085",
    }


@pytest.mark.parametrize("name", HOSTS)
def test_malformed_emulator_is_an_error_that_names_the_variable(name):
    with pytest.raises(CommandError, match=f"{name} must be host:port, not 'localhost'"):
        choose("auto", {**HOSTS, name: "localhost"}, missing=None)


def test_embedded_data_is_kept_in_the_run_directory(tmp_path):
    environ = planned(tmp_path, EMPTY_PATH).environ

    assert environ["BACKEND"] == "embedded"
    assert environ["EMBEDDED_FILE"] == str(tmp_path / "embedded.sqlite3")


def test_named_emulators_reach_the_services_and_none_is_started(tmp_path):
    plan = planned(tmp_path, {**EMPTY_PATH, **HOSTS}, backend="auto")

    assert plan.environ["BACKEND"] == "gcp"
    assert {name: plan.environ[name] for name in HOSTS} == HOSTS
    assert plan.emulators == {}


def test_project_of_the_environment_is_used(tmp_path):
    assert planned(tmp_path, EMPTY_PATH).environ["GOOGLE_CLOUD_PROJECT"] == "saga-local"
    own = planned(tmp_path, {**EMPTY_PATH, "GOOGLE_CLOUD_PROJECT": "mine"})
    assert own.environ["GOOGLE_CLOUD_PROJECT"] == "mine"


def test_database_of_the_environment_is_named_to_other_commands(tmp_path):
    plan = planned(tmp_path, {**EMPTY_PATH, **HOSTS, "DATASTORE_DATABASE": "saga"}, backend="auto")

    assert plan.backend_environ["DATASTORE_DATABASE"] == "saga"


def test_processes_reach_each_other_without_a_proxy(tmp_path):
    environ = planned(tmp_path, {**EMPTY_PATH, "NO_PROXY": "corp.example"}).environ

    assert environ["no_proxy"] == environ["NO_PROXY"] == "corp.example,127.0.0.1,localhost"


def test_port_in_use_is_an_error(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CommandError, match=f"port {port} is in use"):
            planned(tmp_path, EMPTY_PATH, port=port)


def test_every_process_has_its_own_address(tmp_path):
    plan = planned(tmp_path, EMPTY_PATH, replicas=3)
    addresses = [address for replicas in plan.addresses.values() for address in replicas]

    assert len({*addresses, f"127.0.0.1:{plan.gateway_port}"}) == 3 * len(plan.addresses) + 1


def test_environment_of_a_service_has_its_topics_and_address(tmp_path):
    purchase, *_ = service_programs(
        TOPOLOGY, place(count(1), TOPOLOGY.names, 1), {"BACKEND": "embedded"}, tmp_path
    )

    assert purchase.argv[1:] == ("-m", "services.purchase")
    assert purchase.environ == {
        "BACKEND": "embedded",
        "EVENT_PUBLISH_TOPIC": "com.example.purchase",
        "EVENT_SUBSCRIBE_TOPICS": "com.example.stock,com.example.payment,com.example.delivery",
        "EVENT_DEAD_LETTER_TOPIC": "com.example.dead-letter",
        "HOST": "127.0.0.1",
        "PORT": "1",
    }


def test_gateway_has_the_addresses_of_every_replica(tmp_path):
    addresses = place(count(1), TOPOLOGY.names, replicas=2)

    names = [program.name for program in service_programs(TOPOLOGY, addresses, {}, tmp_path)]
    environ = gateway_program(GATEWAY, 8080, address_environ(TOPOLOGY, addresses), tmp_path).environ

    assert names == [f"{service}-{number}" for service in TOPOLOGY.names for number in (1, 2)]
    assert environ["PURCHASE_ADDRESS"] == "127.0.0.1:1,127.0.0.1:2"
    assert environ["STOCK_ADDRESS"] == "127.0.0.1:3,127.0.0.1:4"
    assert environ["DELIVERY_ADDRESS"] == "127.0.0.1:7,127.0.0.1:8"
    assert environ["PORT"] == "8080"
