"""An issuer of tokens for tests: keys of every kind, tokens right and wrong, and a server that gives the keys out."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from edgegate.config.stages import JwtOptions
from edgegate.upstream.side import SideError

ISSUER = "https://issuer.example"
AUDIENCE = "edgegate"
NOW = 1_800_000_000.0

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def ed_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def jwk(key: Private, kid: str = "", **more: Any) -> dict[str, Any]:
    """The public part, as a key set has it."""
    if isinstance(key, rsa.RSAPrivateKey):
        made = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        made = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        made = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    made.pop("key_ops", None)
    return made | ({"kid": kid} if kid else {}) | more


def claims(**changed: Any) -> dict[str, Any]:
    """Claims that hold; None takes one out."""
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 600}
    return {name: value for name, value in (usual | changed).items() if value is not None}


def token(key: Any, algorithm: str = "RS256", kid: str = "one", header: dict[str, Any] | None = None, **changed: Any) -> str:
    headers = ({"kid": kid} if kid else {}) | (header or {})
    return jwt.encode(claims(**changed), key, algorithm=algorithm, headers=headers)


def options(**changed: Any) -> JwtOptions:
    given: dict[str, Any] = {"jwks": ISSUER + "/keys", "issuer": ISSUER, "audience": (AUDIENCE,)} | changed
    return JwtOptions(**given)


class Documents:
    """Stands in for `Side`: answers by URL. away: it cannot be reached; hold: it answers when that is set."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.by_url: dict[str, Any] = {}
        self.set(*keys)
        self.asked: list[str] = []
        self.away = False
        self.hold: asyncio.Event | None = None
        self.closed = False

    def set(self, *keys: dict[str, Any]) -> None:
        self.by_url[ISSUER + "/keys"] = {"keys": list(keys)}

    async def get(self, url: str, *, limit: int, timeout_s: float) -> bytes:
        self.asked.append(url)
        if self.hold is not None:
            await self.hold.wait()
        if self.away or url not in self.by_url:
            raise SideError("it is away")
        found = self.by_url[url]
        return found if isinstance(found, bytes) else json.dumps(found).encode()

    async def close(self) -> None:
        self.closed = True


class HttpsIssuer:
    """A real server over TLS. `bodies` by path; a path in `moved` answers with a redirect."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.bodies: dict[str, Any] = {}
        self.moved: dict[str, str] = {}
        self.asked: list[str] = []

    async def __aenter__(self) -> HttpsIssuer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.url = f"https://localhost:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            self.asked.append(path)
            if path in self.moved:
                writer.write(f"HTTP/1.1 302 X\r\nlocation: {self.moved[path]}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            else:
                body = json.dumps(self.bodies.get(path)).encode()
                status = 200 if path in self.bodies else 404
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (status, len(body)) + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
