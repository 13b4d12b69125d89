"""Tokens: which are good, whom they speak for, and where keys come from."""

import base64
import hashlib
import hmac
import json
import time

import pytest
from cryptography.hazmat.primitives import serialization

from sagakit.auth.caller import Caller
from sagakit.auth.jwks import (
    CACHE_SECONDS,
    MAX_STALE_SECONDS,
    MIN_REFETCH_SECONDS,
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
    served.asked, served.away, served.calls_itself = 0, False, None
    return served


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0


def settings(issuer: Issuer) -> AuthSettings:
    found = AuthSettings.from_environ(issuer.environ)
    assert found is not None
    return found


def tokens(issuer: Issuer, clock: Clock | None = None, fetch: Fetch | None = None) -> TokenVerifier:
    clock = clock or Clock()
    keys = JwksCache(fetch or fetch_from_issuer(issuer.url), Runtime(now=lambda: clock.now))
    return TokenVerifier(settings(issuer), keys, "saga.operator")


async def test_a_good_token_says_who_calls_and_until_when(issuer: Issuer):
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
async def test_the_operators_scope_makes_an_operator(issuer: Issuer, claims, operator):
    assert (await tokens(issuer).verify(issuer.token(**claims))).operator is operator


def text(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def claims(issuer: Issuer) -> dict[str, object]:
    return {"iss": issuer.url, "aud": AUDIENCE, "sub": "mallory", "exp": time.time() + 300}


def unsigned(issuer: Issuer) -> str:
    return f"{text({'alg': 'none', 'kid': 'first'})}.{text(claims(issuer))}."


def signed_with_the_public_key(issuer: Issuer) -> str:
    """The oldest trick: HS256, with what everybody knows as the secret."""
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


BAD = {
    "expired": lambda issuer: issuer.token(exp=time.time() - 60),
    "not yet good": lambda issuer: issuer.token(nbf=time.time() + 60),
    "for another audience": lambda issuer: issuer.token(aud="another"),
    "of another issuer": lambda issuer: issuer.token(iss="https://issuer.example"),
    "of another key under a known name": lambda issuer: issuer.token(key=rsa_key()),
    "of another key": lambda issuer: issuer.token(kid="other", key=rsa_key()),
    "of a key of another kind": lambda issuer: issuer.token(key=ec_key()),
    "without a key's name, where there are two": lambda issuer: issuer.token(kid=None),
    "not signed": unsigned,
    "signed with the public key": signed_with_the_public_key,
    "tampered with": tampered,
    "otherwise signed": lambda issuer: issuer.token(algorithm="RS512"),
    "without an end": lambda issuer: issuer.token(exp=None),
    "without an audience": lambda issuer: issuer.token(aud=None),
    "without an issuer": lambda issuer: issuer.token(iss=None),
    "of nobody": lambda issuer: issuer.token(sub=None),
    "of an empty name": lambda issuer: issuer.token(""),
    "of too long a name": lambda issuer: issuer.token("x" * 256),
    "of a name that breaks lines": lambda issuer: issuer.token("a\nb"),
    "too long": lambda issuer: issuer.token(more="x" * MAX_LENGTH),
    "no token": lambda issuer: "abc",
    "empty": lambda issuer: "",
    "of three empty parts": lambda issuer: "..",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_bad_token_speaks_for_nobody(issuer: Issuer, bad):
    issuer.keys["second"] = ec_key()

    with pytest.raises(Unauthenticated):
        await tokens(issuer).verify(bad(issuer))


async def test_both_kinds_of_keys_are_believed(issuer: Issuer):
    issuer.keys["second"] = ec_key()
    checked = tokens(issuer)

    assert (await checked.verify(issuer.token("alice", kid="first"))).sub == "alice"
    assert (await checked.verify(issuer.token("bob", kid="second"))).sub == "bob"


async def test_a_key_for_encrypting_signs_nothing(issuer: Issuer):
    document = {"keys": [{**public("first", issuer.keys["first"]), "use": "enc"}]}

    async def fetch():
        return document

    with pytest.raises(Unauthenticated):
        await tokens(issuer, fetch=fetch).verify(issuer.token())


async def test_the_issuer_cannot_have_another_algorithm_believed(issuer: Issuer):
    key = {**public("first", issuer.keys["first"]), "alg": "RS512"}

    async def fetch():
        return {"keys": [key]}

    with pytest.raises(Unauthenticated):
        await tokens(issuer, fetch=fetch).verify(issuer.token(algorithm="RS512"))


async def test_the_only_key_needs_no_name(issuer: Issuer):
    assert (await tokens(issuer).verify(issuer.token(kid=None))).sub == "alice"


async def test_keys_are_kept_and_asked_for_again_when_they_are_old(issuer: Issuer):
    clock = Clock()
    checked = tokens(issuer, clock)
    for _ in range(3):
        await checked.verify(issuer.token())
    assert issuer.asked == 1

    clock.now += CACHE_SECONDS + 1
    await checked.verify(issuer.token())

    assert issuer.asked == 2


async def test_a_new_key_is_found_and_a_withdrawn_one_forgotten(issuer: Issuer):
    clock = Clock()
    checked = tokens(issuer, clock)
    old = issuer.token()
    await checked.verify(old)
    first = issuer.keys.pop("first")
    issuer.keys["second"] = ec_key()

    clock.now += MIN_REFETCH_SECONDS + 1
    assert (await checked.verify(issuer.token(kid="second"))).sub == "alice"
    with pytest.raises(Unauthenticated):
        await checked.verify(old)
    issuer.keys["first"] = first


async def test_unknown_keys_do_not_make_it_ask_all_the_time(issuer: Issuer):
    checked = tokens(issuer)
    await checked.verify(issuer.token())

    for number in range(20):
        with pytest.raises(Unauthenticated):
            await checked.verify(issuer.token(kid=f"k{number}", key=issuer.keys["first"]))

    assert issuer.asked == 1


async def test_an_issuer_that_is_away_costs_nothing_for_a_day(issuer: Issuer):
    clock = Clock()
    checked = tokens(issuer, clock)
    await checked.verify(issuer.token())
    issuer.away = True

    clock.now += MAX_STALE_SECONDS - 1
    assert (await checked.verify(issuer.token())).sub == "alice"
    clock.now += 2
    with pytest.raises(Unavailable):
        await checked.verify(issuer.token())


async def test_an_issuer_that_was_never_there_makes_nobody_known(issuer: Issuer):
    issuer.away = True
    clock = Clock()
    checked = tokens(issuer, clock)
    with pytest.raises(Unavailable):
        await checked.verify(issuer.token())

    issuer.away = False
    clock.now += MIN_REFETCH_SECONDS + 1

    assert (await checked.verify(issuer.token())).sub == "alice"


async def test_an_issuer_that_calls_itself_otherwise_is_not_believed(issuer: Issuer):
    issuer.calls_itself = "https://issuer.example"

    with pytest.raises(Unavailable):
        await tokens(issuer).verify(issuer.token())


async def test_keys_may_be_in_a_file(issuer: Issuer, tmp_path):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [public("first", issuer.keys["first"])]}))
    checked = tokens(issuer, fetch=fetch_from_file(file))

    assert (await checked.verify(issuer.token())).sub == "alice"


async def test_a_file_that_makes_no_sense_makes_nobody_known(issuer: Issuer, tmp_path):
    file = tmp_path / "keys.json"
    for nonsense in ("", "[]", "{}", '{"keys": 3}', '{"keys": [{"kty": "oct", "k": "YWJj"}]}'):
        file.write_text(nonsense)

        with pytest.raises((Unavailable, Unauthenticated)):
            await tokens(issuer, fetch=fetch_from_file(file)).verify(issuer.token())
