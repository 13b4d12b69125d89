"""Bearer tokens: verification, the caller they name, and the cache of the issuer's keys."""

import base64
import hashlib
import hmac
import json
import time

import pytest
from cryptography.hazmat.primitives import serialization

from sagakit.auth.caller import Caller
from sagakit.auth.jwks import (
    Fetch,
    JwksCache,
    fetch_from_file,
    fetch_from_issuer,
)
from sagakit.auth.jwt import MAX_LENGTH, TokenVerifier
from sagakit.errors import Unauthenticated, Unavailable
from sagakit.runtime import Runtime
from sagakit.settings import AuthSettings
from tests.support.issuer import AUDIENCE, Issuer, an_issuer, ec_key, public, rsa_key


@pytest.fixture(scope="module")
def served():
    with an_issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer(served: Issuer):
    served.keys = {"first": served.keys["first"]}
    served.key_requests, served.unavailable, served.claimed_url = 0, False, None
    return served


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.monotonic = 0.0


def settings(issuer: Issuer) -> AuthSettings:
    found = AuthSettings.from_environ(issuer.environ)
    assert found is not None
    return found


def tokens(issuer: Issuer, clock: Clock | None = None, fetch: Fetch | None = None) -> TokenVerifier:
    clock = clock or Clock()
    keys = JwksCache(
        fetch or fetch_from_issuer(issuer.url), Runtime(lambda: clock.now, lambda: clock.monotonic)
    )
    return TokenVerifier(settings(issuer), keys, "saga.operator")


async def test_valid_token_names_the_caller_and_its_expiry(issuer: Issuer):
    expires = int(time.time()) + 100

    caller = await tokens(issuer).verify(issuer.token("alice", exp=expires))

    assert caller == Caller("alice", operator=False, expires_at=expires)


@pytest.mark.parametrize(
    ("claims", "operator"),
    [
        ({"scope": "openid saga.operator"}, True),
        ({"scp": ["saga.operator"]}, True),
        ({"scp": "saga.operator"}, True),
        ({"scope": "saga.operators"}, False),
        ({"scope": 7}, False),
        ({"scp": [{"saga.operator": 1}]}, False),
        ({"roles": "saga.operator"}, False),
    ],
)
async def test_scope_makes_an_operator(issuer: Issuer, claims, operator):
    assert (await tokens(issuer).verify(issuer.token(**claims))).operator is operator


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def text(part: object) -> str:
    return encoded(json.dumps(part).encode())


def claims(issuer: Issuer) -> dict[str, object]:
    return {"iss": issuer.url, "aud": AUDIENCE, "sub": "mallory", "exp": time.time() + 300}


def unsigned(issuer: Issuer) -> str:
    return f"{text({'alg': 'none', 'kid': 'first'})}.{text(claims(issuer))}."


def signed_with_the_public_key(issuer: Issuer) -> str:
    """HS256 with the public key as the secret."""
    known = (
        issuer.keys["first"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    body = f"{text({'alg': 'HS256', 'kid': 'first'})}.{text(claims(issuer))}"
    mac = hmac.new(known, body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def tampered(issuer: Issuer) -> str:
    header, _, signature = issuer.token("alice").split(".")
    return f"{header}.{text(claims(issuer))}.{signature}"


INVALID = {
    "expired": lambda issuer: issuer.token(exp=time.time() - 60),
    "not yet valid": lambda issuer: issuer.token(nbf=time.time() + 60),
    "for another audience": lambda issuer: issuer.token(aud="another"),
    "of another issuer": lambda issuer: issuer.token(iss="https://issuer.example"),
    "of another key under a known id": lambda issuer: issuer.token(key=rsa_key()),
    "of another key": lambda issuer: issuer.token(kid="other", key=rsa_key()),
    "of a key of another type": lambda issuer: issuer.token(key=ec_key()),
    "without a key id, though there are two": lambda issuer: issuer.token(kid=None),
    "not signed": unsigned,
    "signed with the public key": signed_with_the_public_key,
    "tampered with": tampered,
    "signed with another algorithm": lambda issuer: issuer.token(algorithm="RS512"),
    "without an expiry": lambda issuer: issuer.token(exp=None),
    "without an audience": lambda issuer: issuer.token(aud=None),
    "without an issuer": lambda issuer: issuer.token(iss=None),
    "without a subject": lambda issuer: issuer.token(sub=None),
    "with an empty subject": lambda issuer: issuer.token(""),
    "with a subject that is too long": lambda issuer: issuer.token("x" * 256),
    "with a subject of two lines": lambda issuer: issuer.token("a\nb"),
    "too long": lambda issuer: issuer.token(more="x" * MAX_LENGTH),
    "not a token": lambda issuer: "abc",
    "empty": lambda issuer: "",
    "with a header that is nested too deeply": lambda issuer: f"{encoded(b'[' * 5_900)}.e30.",
    "of three empty parts": lambda issuer: "..",
}


@pytest.mark.parametrize("token", INVALID.values(), ids=INVALID)
async def test_invalid_token_is_rejected(issuer: Issuer, token):
    issuer.keys["second"] = ec_key()

    with pytest.raises(Unauthenticated):
        await tokens(issuer).verify(token(issuer))


TIMES = {
    "an integer that no float can represent": 10**400,
    "an integer that no datetime can represent": 10**15,
    "a negative integer": -(10**400),
    "a large float": 1e308,
    "not a number": float("nan"),
    "infinity": float("inf"),
    "true": True,
    "false": False,
    "a text": "4102444800",
    "a list": [],
}


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", TIMES.values(), ids=TIMES)
async def test_time_that_is_no_number_of_seconds_is_rejected(issuer: Issuer, name, value):
    with pytest.raises(Unauthenticated):
        await tokens(issuer).verify(issuer.token(**{name: value}))


async def test_times_may_have_fractions(issuer: Issuer):
    now = time.time()
    token = issuer.token(exp=now + 100.5, nbf=now - 0.5, iat=now - 0.5)

    assert (await tokens(issuer).verify(token)).expires_at == now + 100.5


async def test_rsa_and_ec_keys_are_accepted(issuer: Issuer):
    issuer.keys["second"] = ec_key()
    verifier = tokens(issuer)

    assert (await verifier.verify(issuer.token("alice", kid="first"))).sub == "alice"
    assert (await verifier.verify(issuer.token("bob", kid="second"))).sub == "bob"


@pytest.mark.parametrize(
    ("key", "algorithm"), [({"use": "enc"}, "RS256"), ({"alg": "RS512"}, "RS512")], ids=["use", "alg"]
)
async def test_key_for_another_use_or_algorithm_is_rejected(issuer: Issuer, key, algorithm):
    async def fetch():
        return {"keys": [{**public("first", issuer.keys["first"]), **key}]}

    with pytest.raises(Unauthenticated):
        await tokens(issuer, fetch=fetch).verify(issuer.token(algorithm=algorithm))


async def test_a_single_key_needs_no_id(issuer: Issuer):
    assert (await tokens(issuer).verify(issuer.token(kid=None))).sub == "alice"


async def test_issuer_with_another_name_is_rejected(issuer: Issuer):
    issuer.claimed_url = "https://issuer.example"

    with pytest.raises(Unavailable):
        await tokens(issuer).verify(issuer.token())


async def test_keys_can_be_read_from_a_file(issuer: Issuer, tmp_path):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [public("first", issuer.keys["first"])]}))
    verifier = tokens(issuer, fetch=fetch_from_file(file))

    assert (await verifier.verify(issuer.token())).sub == "alice"


async def test_malformed_key_file_is_rejected(issuer: Issuer, tmp_path):
    file = tmp_path / "keys.json"
    nested = '{"keys":' * 100_000
    for nonsense in ("", "[]", "{}", nested, '{"keys": 3}', '{"keys": [{"kty": "oct", "k": "YWJj"}]}'):
        file.write_text(nonsense)

        with pytest.raises((Unavailable, Unauthenticated)):
            await tokens(issuer, fetch=fetch_from_file(file)).verify(issuer.token())
