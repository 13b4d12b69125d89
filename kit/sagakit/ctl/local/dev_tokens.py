"""Tokens for development: the issuer is a key in a file."""

import json
import os
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sagakit.application import Application
from sagakit.ctl.errors import CommandError
from sagakit.ctl.local.runfile import JWKS, KEY, make_private, open_private

ISSUER = "https://saga.localhost"
"""Names under .localhost are reserved for the local machine (RFC 6761)."""
AUDIENCE = "saga-suite"
TOOL_TOKEN_SECONDS = 300
ALGORITHM = "ES256"

_KID = "development"


def environ(run_dir: Path, application: Application) -> dict[str, str]:
    """Return the variables of a suite that trusts the development key, which is created if missing."""
    public = jwt.algorithms.ECAlgorithm.to_jwk(_key(run_dir).public_key(), as_dict=True)
    with open_private(run_dir / JWKS, "w") as file:
        json.dump({"keys": [{**public, "kid": _KID, "use": "sig"}]}, file)
    return {
        "AUTH_ISSUER": ISSUER,
        "AUTH_AUDIENCE": AUDIENCE,
        "AUTH_OPERATOR_SCOPE": application.operator_scope,
        "AUTH_KEYS_FILE": str(run_dir / JWKS),
    }


def mint(run_dir: Path, sub: str, *, scope: str = "", seconds: float) -> str:
    """Return a token for `sub`, signed with the development key and valid for `seconds`."""
    now = time.time()
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": sub, "iat": now, "exp": now + seconds}
    scopes = {"scope": scope} if scope else {}
    return jwt.encode({**claims, **scopes}, _key(run_dir), ALGORITHM, headers={"kid": _KID})


def tool_token(run_dir: Path, application: Application) -> str:
    """Return the token for sagactl's own calls: SAGA_TOKEN, else one of the development key, else ""."""
    given = os.environ.get("SAGA_TOKEN", "").strip()
    if given or not (run_dir / KEY).exists():
        return given
    return mint(run_dir, "sagactl", scope=application.operator_scope, seconds=TOOL_TOKEN_SECONDS)


def _key(run_dir: Path) -> ec.EllipticCurvePrivateKey:
    file = run_dir / KEY
    try:
        if not file.exists():
            _write_key(run_dir, ec.generate_private_key(ec.SECP256R1()))
        if file.stat().st_uid != os.geteuid():
            raise CommandError(f"{file} belongs to another user: remove it")
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot use {file}: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CommandError(f"{file} is not an elliptic-curve key: remove it")
    return key


def _write_key(run_dir: Path, key: ec.EllipticCurvePrivateKey) -> None:
    make_private(run_dir)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with open_private(run_dir / KEY, "x") as file:
        file.write(pem.decode())
