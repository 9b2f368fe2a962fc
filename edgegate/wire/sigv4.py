"""AWS Signature Version 4 in header lines: who may call a service proves it with a signature over the request.

The path comes as it goes out, percent-encoded already (`/model/anthropic.claude-v2%3A1/converse`). Every service but S3
encodes it once more for the signature, after dots and doubled slashes are resolved. All header lines given are signed,
besides those that proxies change; what is added to the request later is simply not part of the proof.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

HeaderList = list[tuple[bytes, bytes]]

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = frozenset(
    {
        b"authorization",
        b"baggage",
        b"connection",
        b"expect",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"traceparent",
        b"tracestate",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"user-agent",
        b"x-amzn-trace-id",
    }
)
"""Lines that are changed on the way, or that the signature itself is."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What proves who we are. Only the access key's id may be shown."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


class Signer:
    """Signs for one service in one region. Keeps the key of the last day and secret: it takes four HMACs to derive."""

    __slots__ = ("_derived", "_for", "region", "service")

    def __init__(self, region: str, service: str) -> None:
        self.region = region
        self.service = service
        self._for = ("", "")
        self._derived = b""

    def sign(
        self, method: str, host: str, path: str, headers: Iterable[tuple[bytes, bytes]], body: bytes, credentials: Credentials, now: float
    ) -> HeaderList:
        """The lines to add: `authorization`, `x-amz-date` and, for temporary credentials, `x-amz-security-token`. `path` is in
        origin form with the query. `now` in Unix seconds; the service allows five minutes of difference."""
        moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        added: HeaderList = [(b"x-amz-date", moment.encode())]
        if credentials.session_token:
            added.append((b"x-amz-security-token", credentials.session_token.encode()))
        ours = {name for name, _ in added}
        given = [(name, value) for name, value in headers if name.lower() not in ours and name.lower() != b"host"]
        names, lines = _canonical_headers([(b"host", host.encode()), *given, *added])
        request = "\n".join((method, _path(path), _query(path), lines, names, hashlib.sha256(body).hexdigest()))
        scope = f"{moment[:8]}/{self.region}/{self.service}/aws4_request"
        text = "\n".join((_ALGORITHM, moment, scope, hashlib.sha256(request.encode("utf-8", "surrogateescape")).hexdigest()))
        signature = hmac.new(self._key(credentials.secret_key, moment[:8]), text.encode(), hashlib.sha256).hexdigest()
        proof = f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        return [*added, (b"authorization", proof.encode())]

    def _key(self, secret: str, day: str) -> bytes:
        if self._for != (secret, day):
            key = b"AWS4" + secret.encode()
            for part in (day, self.region, self.service, "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self._for, self._derived = (secret, day), key
        return self._derived


def sign(
    method: str,
    host: str,
    path: str,
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
    credentials: Credentials,
    region: str,
    service: str,
    now: float,
) -> HeaderList:
    """The lines for one request; see `Signer.sign`, which is cheaper for many."""
    return Signer(region, service).sign(method, host, path, headers, body, credentials, now)


def _canonical_headers(headers: HeaderList) -> tuple[str, str]:
    """(names, lines). Values of one name are joined in order, runs of blanks inside become one."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        low = name.lower()
        if low not in _UNSIGNED:
            values.setdefault(low.decode("latin-1"), []).append(" ".join(value.decode("utf-8", "surrogateescape").split()))
    names = sorted(values)
    return ";".join(names), "".join([f"{name}:{','.join(values[name])}\n" for name in names])


def _path(target: str) -> str:
    path = target.partition("?")[0]
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept:
                kept.pop()
        elif segment and segment != ".":
            kept.append(segment)
    clean = "/" + "/".join(kept)
    if kept and path.endswith("/"):
        clean += "/"
    return quote(clean, safe="/~")


def _query(target: str) -> str:
    """Sorted by name, then value, each as it is encoded already; a name without `=` has the empty value."""
    query = target.partition("?")[2]
    pairs = [pair.partition("=") for pair in query.split("&")] if query else []
    return "&".join([f"{name}={value}" for name, value in sorted((name, value) for name, _, value in pairs)])
