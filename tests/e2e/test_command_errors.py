"""Failing `sagactl` commands print one clear line, exit with status 1 and leave nothing running."""

import socket
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.support.local_suite import ready_suite, sagactl

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def assert_fails(command, *words):
    assert command.returncode == 1
    *suite, error = command.stderr.splitlines()
    assert error.startswith("Error: ")
    assert all(line.startswith("suite: ") for line in suite), command.stderr
    assert all(word in error for word in words), command.stderr


@contextmanager
def wrong_gateway(status, body):
    """Yield the URL of a server that gives every request the same answer."""

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


def test_up_on_a_port_in_use_fails(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])

        assert_fails(up(tmp_path, "--backend", "embedded", "--port", port), f"port {port} is in use")


def test_second_suite_on_the_same_data_fails_and_the_first_keeps_running(tmp_path):
    with ready_suite(tmp_path) as local:
        second = up(tmp_path, "--backend", "embedded")

        assert_fails(second, "a suite runs in", f"(process {local.process.pid})")
        assert local.call("create_cart", cartid="1")["cart"]["status"] == "open"


def test_run_directory_that_is_a_file(tmp_path):
    (tmp_path / ".run").touch()

    assert_fails(up(tmp_path, "--backend", "embedded"), "cannot write to", ".run")


def test_auto_without_gcloud_uses_the_embedded_backend(tmp_path):
    with ready_suite(tmp_path, environ={"BACKEND": "auto", "PATH": str(tmp_path)}) as local:
        assert "backend: embedded (no gcloud on the PATH)" in local.output


DEAD = "127.0.0.1:1"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"BACKEND": "emulators", "PATH": "/nowhere"},
            "cannot start Google's emulators: no gcloud on the PATH",
        ),
        ({"PUBSUB_EMULATOR_HOST": DEAD}, "PUBSUB_EMULATOR_HOST is set, DATASTORE_EMULATOR_HOST is not"),
        ({"PUBSUB_EMULATOR_HOST": DEAD, "DATASTORE_EMULATOR_HOST": DEAD}, "=127.0.0.1:1 does not respond"),
    ],
)
def test_emulators_that_cannot_be_used(tmp_path, environ, message):
    assert_fails(up(tmp_path, environ=environ), message)


def test_unknown_backend(tmp_path):
    failed = up(tmp_path, environ={"BACKEND": "oracle"})

    assert failed.returncode == 2
    assert "'oracle' is not one of 'auto', 'emulators', 'embedded'" in failed.stderr


def test_invalid_setting_of_a_service(tmp_path):
    failed = up(tmp_path, "--backend", "embedded", environ={"SWEEP_SECONDS": "soon"})

    assert failed.returncode == 1
    assert "does not start" in failed.stderr
    assert "SWEEP_SECONDS must be a number, not 'soon'" in failed.stderr


def test_clean_keeps_data_in_use(tmp_path):
    with ready_suite(tmp_path) as local:
        assert_fails(local.sagactl("clean"), "a suite runs in")
        local.end()

        assert local.sagactl("clean").returncode == 0
        assert not local.run_dir.exists()
        assert local.sagactl("clean").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stock", "set", "blue", "--run-dir", "/nowhere"), "no suite runs in"),
        (("stock", "set", "blue", "--stock-address", DEAD), "127.0.0.1:1: UNAVAILABLE"),
        (("demo", "--gateway", f"http://{DEAD}"), "http://127.0.0.1:1: no response to PUT /v1/carts/"),
        (("demo", "--run-dir", "/nowhere"), "no suite runs in"),
        (("top", "--once", "--run-dir", "/nowhere"), "no suite runs in"),
    ],
)
def test_commands_without_their_server(arguments, message):
    assert_fails(sagactl(*arguments), message)


def test_stock_set_of_an_invalid_item(tmp_path):
    with ready_suite(tmp_path) as local:
        failed = local.sagactl("stock", "set", "no such item", "--price", "1")

    assert_fails(failed, "INVALID_ARGUMENT", "itemid")


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b'{"cartid":"else","status":"closed","cart_items":[]}', "expected open, got closed"),
        (503, b'{"reason":"away","detail":"gone"}', "503 away: gone"),
        (200, b"<html>", "the response is not JSON"),
        (200, b"[]", "unexpected response: []"),
    ],
)
def test_demo_with_unexpected_answers(status, body, words):
    with wrong_gateway(status, body) as gateway:
        assert_fails(sagactl("demo", "--gateway", gateway), words)
