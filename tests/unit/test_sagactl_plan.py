"""The plan of a local run."""

import socket

import pytest

from sagactl.errors import CommandError
from sagactl.local.plan import EMBEDDED, EMULATORS, Options, choose, make_plan
from sagactl.local.programs import gateway_program, place, service_programs

NAMED = {"DATASTORE_EMULATOR_HOST": "localhost:1", "PUBSUB_EMULATOR_HOST": "localhost:2"}
NOTHING_HERE = {"PATH": ""}


def planned(tmp_path, environ, backend="embedded", port=0, replicas=1):
    return make_plan(Options(backend, port, replicas, tmp_path), environ)


def test_auto_uses_emulators_that_run_already():
    choice = choose("auto", NAMED, missing="no gcloud on the PATH")

    assert choice.backend == EMULATORS
    assert choice.hosts == NAMED


def test_auto_starts_emulators_where_it_can():
    choice = choose("auto", {}, missing=None)

    assert (choice.backend, choice.hosts) == (EMULATORS, None)


def test_auto_is_embedded_where_there_are_no_emulators_and_says_why():
    choice = choose("auto", {}, missing="no gcloud on the PATH")

    assert (choice.backend, choice.why) == (EMBEDDED, "no gcloud on the PATH")


def test_emulators_that_cannot_be_had_are_refused_with_the_reason():
    with pytest.raises(CommandError, match="no java on the PATH"):
        choose("emulators", {}, missing="no java on the PATH")


@pytest.mark.parametrize("name", NAMED)
def test_one_emulator_without_the_other_is_refused(name):
    with pytest.raises(CommandError, match=f"{name} is set"):
        choose("auto", {name: "localhost:1"}, missing=None)


def test_embedded_ignores_whatever_emulators_there_are():
    assert choose("embedded", {"PUBSUB_EMULATOR_HOST": "localhost:2"}, missing=None).backend == EMBEDDED


def test_an_empty_variable_names_no_emulator():
    assert choose("auto", dict.fromkeys(NAMED, ""), missing="no java").backend == EMBEDDED


def test_embedded_data_is_kept_in_the_run_directory(tmp_path):
    environ = planned(tmp_path, NOTHING_HERE).environ

    assert environ["BACKEND"] == "embedded"
    assert environ["EMBEDDED_FILE"] == str(tmp_path / "embedded.sqlite3")


def test_named_emulators_reach_the_services_and_none_is_started(tmp_path):
    plan = planned(tmp_path, {**NOTHING_HERE, **NAMED}, backend="auto")

    assert plan.environ["BACKEND"] == "gcp"
    assert {name: plan.environ[name] for name in NAMED} == NAMED
    assert plan.emulators == {}


def test_the_project_of_the_environment_is_kept(tmp_path):
    assert planned(tmp_path, NOTHING_HERE).environ["GOOGLE_CLOUD_PROJECT"] == "saga-local"
    mine = planned(tmp_path, {**NOTHING_HERE, "GOOGLE_CLOUD_PROJECT": "mine"})
    assert mine.environ["GOOGLE_CLOUD_PROJECT"] == "mine"


def test_no_proxy_stands_between_the_processes(tmp_path):
    environ = planned(tmp_path, {**NOTHING_HERE, "NO_PROXY": "corp.example"}).environ

    assert environ["no_proxy"] == environ["NO_PROXY"] == "corp.example,127.0.0.1,localhost"


def test_a_taken_port_is_refused(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CommandError, match=f"port {port} is in use"):
            planned(tmp_path, NOTHING_HERE, port=port)


def test_every_process_listens_somewhere_else(tmp_path):
    plan = planned(tmp_path, NOTHING_HERE, replicas=3)
    everywhere = [address for listening in plan.addresses.values() for address in listening]

    assert len({*everywhere, f"127.0.0.1:{plan.gateway_port}"}) == 3 * len(plan.addresses) + 1


def test_a_service_is_told_its_topics_and_where_to_listen(tmp_path):
    purchase, *_ = service_programs(place([1, 2, 3, 4], replicas=1), {"BACKEND": "embedded"}, tmp_path)

    assert purchase.argv[1:] == ("-m", "services.purchase")
    assert purchase.environ == {
        "BACKEND": "embedded",
        "EVENT_PUBLISH_TOPIC": "com.example.purchase",
        "EVENT_SUBSCRIBE_TOPICS": "com.example.stock,com.example.payment,com.example.delivery",
        "EVENT_DEAD_LETTER_TOPIC": "com.example.dead-letter",
        "HOST": "127.0.0.1",
        "PORT": "1",
    }


def test_the_gateway_is_told_of_every_replica(tmp_path):
    addresses = place(range(1, 9), replicas=2)

    names = [program.name for program in service_programs(addresses, {}, tmp_path)]
    environ = gateway_program(addresses, 8080, {}, tmp_path).environ

    assert names == [
        f"{service}-{number}" for service in ("purchase", "stock", "payment", "delivery") for number in (1, 2)
    ]
    assert environ["PURCHASE_ADDRESS"] == "127.0.0.1:1,127.0.0.1:2"
    assert environ["STOCK_ADDRESS"] == "127.0.0.1:3,127.0.0.1:4"
    assert environ["DELIVERY_ADDRESS"] == "127.0.0.1:7,127.0.0.1:8"
    assert environ["PORT"] == "8080"
