"""`sagactl` where it cannot do what it was asked: one clear line, exit 1, nothing left running."""

import socket
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.support.local_suite import embedded, sagactl, suite

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def assert_refused(command, *words):
    assert command.returncode == 1
    assert command.stderr.startswith("Error: ")
    assert command.stderr.count("\n") == 1
    assert all(word in command.stderr for word in words), command.stderr


@contextmanager
def wrong_gateway(status, body):
    """The URL of one that answers everything with the same."""

    class Wrong(BaseHTTPRequestHandler):
        def do_PUT(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Wrong) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def up(tmp_path, *arguments, environ=None):
    run_dir = ("--run-dir", str(tmp_path / ".run"))
    return sagactl("up", "--port", "0", *run_dir, *arguments, environ=environ)


def test_a_taken_port(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])

        assert_refused(up(tmp_path, "--backend", "embedded", "--port", port), f"port {port} is taken")


def test_a_second_suite_on_the_same_data(tmp_path):
    with embedded(tmp_path) as local:
        second = up(tmp_path, "--backend", "embedded")

        assert_refused(second, "a suite runs in", f"(process {local.process.pid})")
        assert local.call("create_cart", cartid="1")["cart"]["status"] == "open"


def test_a_run_directory_that_cannot_be_had(tmp_path):
    (tmp_path / ".run").touch()

    assert_refused(up(tmp_path, "--backend", "embedded"), "cannot write to", ".run")


def test_emulators_where_there_are_none(tmp_path):
    refused = up(tmp_path, "--backend", "emulators", environ={"PATH": str(tmp_path)})

    assert_refused(refused, "cannot start Google's emulators: no gcloud on the PATH")


def test_auto_does_without_them(tmp_path):
    with suite(tmp_path, environ={"PATH": str(tmp_path)}) as local:
        local.until_ready()

        assert "backend: embedded (no gcloud on the PATH)" in local.output


def test_one_emulator_without_the_other(tmp_path):
    refused = up(tmp_path, environ={"PUBSUB_EMULATOR_HOST": "127.0.0.1:1"})

    assert_refused(refused, "PUBSUB_EMULATOR_HOST is set, DATASTORE_EMULATOR_HOST is not")


def test_emulators_that_are_named_and_do_not_answer(tmp_path):
    nobody = {"PUBSUB_EMULATOR_HOST": "127.0.0.1:1", "DATASTORE_EMULATOR_HOST": "127.0.0.1:1"}

    assert_refused(up(tmp_path, environ=nobody), "=127.0.0.1:1 does not answer")


def test_a_backend_that_does_not_exist(tmp_path):
    refused = up(tmp_path, environ={"BACKEND": "oracle"})

    assert refused.returncode == 2
    assert "'oracle' is not one of 'auto', 'emulators', 'embedded'" in refused.stderr


def test_a_setting_no_service_can_start_with(tmp_path):
    refused = up(tmp_path, "--backend", "embedded", environ={"SWEEP_SECONDS": "soon"})

    assert refused.returncode == 1
    assert "does not start" in refused.stderr
    assert "SWEEP_SECONDS must be a number of seconds, not 'soon'" in refused.stderr


def test_data_that_is_in_use_is_not_removed(tmp_path):
    with embedded(tmp_path) as local:
        assert_refused(local.sagactl("clean"), "a suite runs in")
        local.end()

        assert local.sagactl("clean").returncode == 0
        assert not local.run_dir.exists()
        assert local.sagactl("clean").returncode == 0


def test_a_stock_service_nobody_knows_of(tmp_path):
    refused = sagactl("stock", "set", "blue", "--run-dir", str(tmp_path))

    assert_refused(refused, "no suite runs in", "--stock-address")


def test_a_stock_service_that_is_away():
    assert_refused(
        sagactl("stock", "set", "blue", "--stock-address", "127.0.0.1:1"), "127.0.0.1:1: UNAVAILABLE"
    )


def test_an_item_that_cannot_be(tmp_path):
    with embedded(tmp_path) as local:
        refused = local.sagactl("stock", "set", "no such item", "--price", "1")

    assert_refused(refused, "INVALID_ARGUMENT", "itemid")


def test_a_demo_without_a_gateway():
    refused = sagactl("demo", "--gateway", "http://127.0.0.1:1")

    assert_refused(refused, "http://127.0.0.1:1: no answer to PUT /v1/carts/")


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b'{"cartid":"else","status":"closed","cart_items":[]}', "expected open, got closed"),
        (503, b'{"reason":"away","detail":"gone"}', "503 away: gone"),
        (200, b"<html>", "was answered with what is no JSON"),
        (200, b"[]", "cannot be made of []"),
    ],
)
def test_a_demo_that_goes_wrong(status, body, words):
    with wrong_gateway(status, body) as gateway:
        assert_refused(sagactl("demo", "--gateway", gateway), words)
