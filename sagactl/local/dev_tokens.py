"""Tokens for development: the issuer is a key in a file."""

import json
import os
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from contract.shop import SHOP

ISSUER = "https://saga.localhost"
"""Names under .localhost are reserved for the local machine (RFC 6761)."""
AUDIENCE = "saga-suite"
TOOL_TOKEN_SECONDS = 300
ALGORITHM = "ES256"

_KEY, _JWKS, _KID = "development-key.pem", "development-jwks.json", "development"


def environ(run_dir: Path) -> dict[str, str]:
    """Return the variables of a suite that trusts the development key, which is created if missing."""
    _key(run_dir)
    return {
        "AUTH_ISSUER": ISSUER,
        "AUTH_AUDIENCE": AUDIENCE,
        "AUTH_OPERATOR_SCOPE": SHOP.operator_scope,
        "AUTH_KEYS_FILE": str(run_dir / _JWKS),
    }


def mint(run_dir: Path, sub: str, *, operator: bool, seconds: float) -> str:
    """Return a token for `sub`, signed with the development key and valid for `seconds`."""
    now = time.time()
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": sub, "iat": now, "exp": now + seconds}
    scope = {"scope": SHOP.operator_scope} if operator else {}
    return jwt.encode({**claims, **scope}, _key(run_dir), ALGORITHM, headers={"kid": _KID})


def tool_token(run_dir: Path) -> str:
    """Return the token for sagactl's own calls: SAGA_TOKEN, else one of the development key, else ""."""
    given = os.environ.get("SAGA_TOKEN", "").strip()
    if given or not (run_dir / _KEY).exists():
        return given
    return mint(run_dir, "sagactl", operator=True, seconds=TOOL_TOKEN_SECONDS)


def _key(run_dir: Path) -> ec.EllipticCurvePrivateKey:
    file = run_dir / _KEY
    if not file.exists():
        _write_key(run_dir, ec.generate_private_key(ec.SECP256R1()))
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{file} is not an elliptic-curve key")
    return key


def _write_key(run_dir: Path, key: ec.EllipticCurvePrivateKey) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    (run_dir / _JWKS).write_text(json.dumps({"keys": [{**public, "kid": _KID, "use": "sig"}]}))
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(run_dir / _KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
