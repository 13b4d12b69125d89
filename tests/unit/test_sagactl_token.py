"""`sagactl token`: a token of the development key, and whether a suite asks for one."""

import os

import jwt
import pytest
from click.testing import CliRunner

from sagactl.__main__ import main
from sagakit.ctl.local.runfile import Suite, write_suite


@pytest.mark.parametrize("auth", [None, False, True], ids=["no suite", "open", "authenticated"])
def test_token_of_an_open_suite_comes_with_a_note_that_no_service_asks_for_it(auth, tmp_path):
    if auth is not None:
        write_suite(tmp_path, Suite(os.getpid(), "embedded", "http://gateway", {}, {}, "/nowhere", auth=auth))

    printed = CliRunner().invoke(main, ["token", "alice", "--run-dir", str(tmp_path)])

    assert jwt.decode(printed.stdout.strip(), options={"verify_signature": False})["sub"] == "alice"
    expected = f"the suite in {tmp_path} asks for no token: it was started without --auth\n"
    assert printed.stderr == (expected if auth is False else "")


def test_key_that_cannot_be_used_is_an_error(tmp_path):
    (tmp_path / "development-key.pem").write_text("rubbish")

    failed = CliRunner().invoke(main, ["token", "alice", "--run-dir", str(tmp_path)])

    assert failed.exit_code == 1
    assert failed.stderr.startswith(f"Error: cannot use {tmp_path / 'development-key.pem'}: ")
