"""Verification of bearer tokens (JWT): the gateway and every service use the same rules."""

from collections.abc import Mapping, Sequence
from typing import Any

import jwt

from sagakit.auth.caller import Caller
from sagakit.auth.jwks import JwksCache, fetch_from_file, fetch_from_issuer
from sagakit.errors import MissingToken, Unauthenticated
from sagakit.runtime import Runtime
from sagakit.settings import AuthSettings

ALGORITHMS = ("RS256", "ES256")
"""Accepted signature algorithms: asymmetric only, so that no verifier can sign."""
LEEWAY_SECONDS = 10
"""Tolerated difference between the issuer's clock and ours."""
MAX_LENGTH = 8 * 1024
MAX_SUB_LENGTH = 255
"""https://openid.net/specs/openid-connect-core-1_0.html#IDToken"""
_MAX_TIME = 253_402_300_799
"""The last second of the year 9999."""
_TIMES = frozenset({"exp", "nbf", "iat"})
_SCHEME = "bearer "


class TokenVerifier:
    """Verifies the tokens of one issuer."""

    def __init__(self, settings: AuthSettings, keys: JwksCache, operator_scope: str) -> None:
        """`operator_scope` makes a caller an operator, unless the settings name another scope."""
        self._settings = settings
        self._keys = keys
        self._operator_scope = settings.operator_scope or operator_scope

    @classmethod
    def from_settings(cls, settings: AuthSettings, runtime: Runtime, operator_scope: str) -> "TokenVerifier":
        """Return a verifier with the keys of the settings' file, or else of the issuer."""
        file = settings.keys_file
        fetch = fetch_from_issuer(settings.issuer) if file is None else fetch_from_file(file)
        return cls(settings, JwksCache(fetch, runtime), operator_scope)

    async def verify(self, token: str) -> Caller:
        """Return the caller the token names.

        Raises Unauthenticated, with the reason, if the token is invalid, and Unavailable if the issuer's
        keys are unknown.
        """
        if len(token) > MAX_LENGTH:
            raise Unauthenticated("the token is too long")
        try:
            header = jwt.get_unverified_header(token)
            # Check `alg` against the allow-list before looking up the key, so that the token cannot
            # choose the algorithm.
            if header.get("alg") not in ALGORITHMS:
                raise Unauthenticated(f"the token must be signed with one of {', '.join(ALGORITHMS)}")
            key = await self._keys.find(header.get("kid"))
            if key is None:
                raise Unauthenticated("the token is signed with a key that the issuer does not have")
            return self._caller(self._claims(token, header["alg"], key))
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"the token is invalid: {error}") from error

    def _claims(self, token: str, algorithm: str, key: jwt.PyJWK) -> dict[str, Any]:
        if key.algorithm_name != algorithm:
            raise Unauthenticated("the token's algorithm is not that of its key")
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=self._settings.issuer,
            audience=self._settings.audience,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        for name in _TIMES & claims.keys():
            _validate_time(name, claims[name])
        sub = claims["sub"]
        if not sub or len(sub) > MAX_SUB_LENGTH or not sub.isprintable():
            raise Unauthenticated("the token has no valid subject")
        return Caller(sub, self._operator_scope in _scopes(claims), float(claims["exp"]))


def parse_bearer(authorizations: Sequence[str]) -> str:
    """Return the token in a request's Authorization headers.

    Raises MissingToken if there is none, and Unauthenticated if there are several headers: which of them
    counts must not depend on who reads them.
    """
    if len(authorizations) > 1:
        raise Unauthenticated("one bearer token is needed")
    authorization = authorizations[0] if authorizations else ""
    token = authorization[len(_SCHEME) :].strip()
    if authorization[: len(_SCHEME)].lower() != _SCHEME or not token:
        raise MissingToken("a bearer token is needed")
    return token


def _validate_time(name: str, value: object) -> None:
    """Raise Unauthenticated unless it is a number of seconds since the epoch (RFC 7519, NumericDate).

    PyJWT takes whatever int() takes: texts, booleans, numbers that no float can represent.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_TIME:
        raise Unauthenticated(f"the token's {name} is not a number of seconds since the epoch")


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    """Return the scopes: `scope`, separated by blanks (RFC 9068), or some issuers' `scp`, text or list."""
    found = claims.get("scope") or claims.get("scp") or ""
    return (
        [each for each in found if isinstance(each, str)] if isinstance(found, list) else str(found).split()
    )
