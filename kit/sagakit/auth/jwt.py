"""Bearer tokens: what makes one good, and whom it speaks for. The gateway and every service check alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import jwt

from sagakit.auth.caller import Caller
from sagakit.errors import Unauthenticated
from sagakit.settings import Environ, SettingsError

ALGORITHMS = ("RS256", "ES256")
"""What a token may be signed with: never nothing, and never a secret that checking would need as well."""
LEEWAY_SECONDS = 10
"""By how much the issuer's clock may be off."""
MAX_LENGTH = 8 * 1024
MAX_SUB_LENGTH = 255
"""https://openid.net/specs/openid-connect-core-1_0.html#IDToken"""


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """Whose tokens are believed, and which of them are meant for the suite."""

    issuer: str
    audience: str
    operator_scope: str
    keys_file: Path | None
    """A JWKS to be used instead of the issuer's own, for development."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "AuthSettings | None":
        """None: nobody signs in. Raises SettingsError where only half is set, or production is left open."""
        env = Environ(environ)
        if not any(env.text(name, "") for name in ("AUTH_ISSUER", "AUTH_AUDIENCE", "AUTH_KEYS_FILE")):
            if env.production:
                raise SettingsError("AUTH_ISSUER", "is not set: ENVIRONMENT=production does not run open")
            return None
        keys_file = env.text("AUTH_KEYS_FILE", "")
        if keys_file and env.production:
            raise SettingsError("AUTH_KEYS_FILE", "is for development, not for ENVIRONMENT=production")
        return cls(
            issuer=_issuer(env),
            audience=env.text("AUTH_AUDIENCE"),
            operator_scope=env.text("AUTH_OPERATOR_SCOPE", "saga.operator"),
            keys_file=Path(keys_file) if keys_file else None,
        )


def _issuer(env: Environ) -> str:
    issuer = env.text("AUTH_ISSUER")
    parts = urlsplit(issuer)
    loopback = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme != "https" and not (loopback and not env.production):
        raise SettingsError("AUTH_ISSUER", f"must be an https URL, not {issuer!r}")
    return issuer


class Keys(Protocol):
    """The issuer's public keys."""

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        """The key of that name; of no name, the only one. None: there is none. Unavailable: not known."""


class Tokens:
    """Checks tokens."""

    def __init__(self, settings: AuthSettings, keys: Keys) -> None:
        self._settings = settings
        self._keys = keys

    async def verify(self, token: str) -> Caller:
        """Whom the token speaks for. Unauthenticated, and why, where it is no good; Unavailable."""
        if len(token) > MAX_LENGTH:
            raise Unauthenticated("the token is too long")
        try:
            header = jwt.get_unverified_header(token)
            # Looked at before the key is: whoever made the token does not choose how it is checked.
            if header.get("alg") not in ALGORITHMS:
                raise Unauthenticated(f"the token must be signed with one of {', '.join(ALGORITHMS)}")
            key = await self._keys.find(header.get("kid"))
            if key is None:
                raise Unauthenticated("the token is signed with a key that the issuer does not have")
            return self._caller(self._claims(token, header["alg"], key))
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"the token is no good: {error}") from error

    def _claims(self, token: str, algorithm: str, key: jwt.PyJWK) -> dict[str, Any]:
        if key.algorithm_name != algorithm:
            raise Unauthenticated("the token is signed otherwise than its key is for")
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
        sub = claims["sub"]
        if not sub or len(sub) > MAX_SUB_LENGTH or not sub.isprintable():
            raise Unauthenticated("the token names nobody")
        return Caller(sub, self._settings.operator_scope in _scopes(claims), float(claims["exp"]))


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    """`scope` is a text with blanks (RFC 9068); some issuers have `scp`, as a text or a list."""
    found = claims.get("scope") or claims.get("scp") or ""
    return (
        [each for each in found if isinstance(each, str)] if isinstance(found, list) else str(found).split()
    )
