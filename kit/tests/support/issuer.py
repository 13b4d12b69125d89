"""A local OIDC issuer: its keys, documents and tokens."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

AUDIENCE = "saga-suite"
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """Serves its documents and keys, and counts requests for keys."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {"first": rsa_key()}
        self.key_requests = 0
        self.unavailable = False
        self.claimed_url: str | None = None
        """Value of `issuer` in its configuration, if it is not its URL."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.02)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def environ(self) -> dict[str, str]:
        """Settings of a suite that trusts this issuer."""
        return {"AUTH_ISSUER": self.url, "AUTH_AUDIENCE": AUDIENCE}

    def token(
        self,
        sub: str = "alice",
        kid: str | None = "first",
        key: Key | None = None,
        algorithm: str | None = None,
        **claims: Any,
    ) -> str:
        """Return a valid token unless the arguments make it invalid; claims that are None are left out."""
        key = key or self.keys[kid or "first"]
        algorithm = algorithm or ("RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256")
        valid = {"iss": self.url, "aud": AUDIENCE, "sub": sub, "exp": time.time() + 300}
        body = {name: value for name, value in {**valid, **claims}.items() if value is not None}
        return jwt.encode(body, key, algorithm, headers={"kid": kid} if kid else None)

    def document(self, path: str) -> Mapping[str, Any] | None:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.claimed_url or self.url, "jwks_uri": f"{self.url}/keys"}
        if path == "/keys":
            self.key_requests += 1
            return {"keys": [public(kid, key) for kid, key in self.keys.items()]}
        return None


def public(kid: str, key: Key) -> dict[str, Any]:
    """Return the key as an entry of a JWKS."""
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, issuer: Issuer, *arguments: Any) -> None:
        self._issuer = issuer
        super().__init__(*arguments)

    def do_GET(self) -> None:
        found = None if self._issuer.unavailable else self._issuer.document(self.path)
        self.send_response(404 if found is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(found or {}).encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def an_issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    thread = threading.Thread(target=issuer.serve)
    thread.start()
    try:
        yield issuer
    finally:
        issuer.stop()
        thread.join()
