"""forward: sends the request to the target and returns once its reply can be judged.

A plain reply is judged whole; a stream at its first meaningful event; a relayed path at its head. Anything that is not a
success becomes a `GatewayError` here, so that failover can act on it. Redirects are never followed: they are errors.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Mapping

from edgegate.chain import Proceed
from edgegate.config.model import ProviderOptions, TimeoutOptions
from edgegate.config.stages import ForwardOptions
from edgegate.dialects.base import HeaderList, Operation, ProviderSide
from edgegate.errors import GatewayError, Source, provider_error
from edgegate.exchange import Attempt, Exchange, Reply, Upload
from edgegate.ledger.ledger import Ledger
from edgegate.resilience.timeouts import asked_timeouts, out_of_time
from edgegate.upstream.call import STRUCK, Answer, Call, Kind, Limits
from edgegate.upstream.connection import Connection
from edgegate.upstream.credential import Credential
from edgegate.upstream.deadlines import Deadlines
from edgegate.upstream.origin import Origin, Upstream
from edgegate.wire.headers import client_headers, relay_request_headers, relay_response_headers
from edgegate.wire.strike import Strike

CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
OTHER_CREDENTIALS = (b"-api-key", b"-token", b"-secret", b"-authorization")
"""How the names of further header lines that hold a credential end."""

_SIGNATURE = b"AWS4-HMAC-SHA256"
_SIGNED = re.compile(rb"(?:Credential|Signature)=([^/,\s]+)")

MIN_SECRET = 8
"""Shorter credentials are placeholders, whose letters occur in ordinary words."""

NOT_ENCODED = [(b"accept-encoding", b"identity")]
"""Replies are read along for their usage: no provider is asked to compress them."""


class Forward:
    """See the module. Owns the connections to all providers; open() and close() belong to the event loop that serves."""

    def __init__(
        self,
        options: ForwardOptions,
        providers: Mapping[str, tuple[ProviderSide, ProviderOptions]],
        credentials: Mapping[str, Credential],
        deadlines: Deadlines,
        body_timeout_s: float,
        max_body: int,
        ledger: Ledger | None = None,
    ) -> None:
        self._options = options
        self._providers = providers
        self._credentials = credentials
        self._deadlines = deadlines
        self._body_timeout_s = body_timeout_s
        self._ledger = ledger
        self._max_body = max_body  # of a relayed body that has to be signed
        self._upstreams: dict[str, Upstream] = {}
        self._limits: dict[str, Limits] = {}
        self._secrets: dict[str, tuple[bytes, ...]] = {}
        self._uploads: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        for name, (side, options) in self._providers.items():
            keys = [key.reveal() for key in options.api_keys or (options.api_key,)]
            own = [(key.lower().encode(), value.encode()) for key, value in options.headers.items()]
            self._secrets[name] = _secrets([*[(b"", key.encode()) for key in keys], *own])
            names = CREDENTIALS if name in self._credentials else {name for name, _ in own}  # or made anew for each request
            lines = [[(line.lower(), value) for line, value in side.authorize(key)] for key in keys]
            proofs = [[line for line in one if line[0] in CREDENTIALS and line[0] not in names] for one in lines]
            fixed = [proof + own + NOT_ENCODED for proof in proofs]
            defaults = [line for line in lines[0] if line[0] not in CREDENTIALS]
            self._upstreams[name] = Upstream(
                Origin.parse(options.base_url), fixed, defaults, options.max_connections, options.ca_file, self._loop
            )
            self._limits[name] = _limits(options.timeouts or self._options, self._options.max_reply)

    async def close(self) -> None:
        for upstream in self._upstreams.values():
            upstream.close()
        for task in list(self._uploads):
            task.cancel()

    async def __call__(self, ex: Exchange, proceed: Proceed) -> Reply:
        target = ex.target
        if target is None:
            raise GatewayError(500, "no_route", "the chain has no route stage before forward")
        provider = target.provider
        upstream = self._upstreams[provider.name]
        now = time.monotonic()
        usual = self._limits[provider.name]
        limits = _for_this(ex, usual, now)
        attempt = Attempt(f"{ex.id}-{len(ex.attempts) + 1}", provider.name, provider.side.name, target.model, now, ex.progress)
        attempt.free = provider.simulated
        if limits is not usual:
            attempt.hurried = _hurried(limits, usual, ex)
        attempt.key, attempt.user = ex.key, ex.user
        attempt.reserved_nano_usd = ex.reserved_nano_usd
        if ex.reserved is not None:
            attempt.hold, ex.reserved = ex.reserved, None
        ex.attempt = attempt
        ex.attempts.append(attempt)
        try:
            if self._ledger is not None:
                self._ledger.begin(ex, attempt)
                if self._ledger.sync:
                    await self._ledger.begun()
            if ex.operation is Operation.RELAY:
                reply = await self._relay(ex, upstream, limits, attempt)
            else:
                reply = await self._send(ex, provider.side, upstream, limits, attempt)
        except GatewayError as error:
            attempt.failed(error, time.monotonic())
            raise
        ex.reply = reply
        return await proceed(ex)

    async def _send(self, ex: Exchange, side: ProviderSide, upstream: Upstream, limits: Limits, attempt: Attempt) -> Reply:
        wire = ex.wire
        if wire is None:
            raise GatewayError(500, "no_translate", "the chain has no translate stage before forward")
        kind = Kind.STREAM if ex.stream else Kind.WHOLE
        secrets = self._secrets[attempt.provider]
        path = upstream.path(wire.path)
        headers = wire.headers
        credential = self._credentials.get(attempt.provider)
        if credential is not None:
            await credential.refresh()
            lines = credential.lines(wire.method, upstream.origin.authority, path.decode("latin-1"), headers, wire.body)
            headers = headers + lines
            secrets += _secrets(lines)
        call = Call(self._loop, self._deadlines, limits, kind, ex.progress, ex.decoder, secrets=secrets)
        head = upstream.head(wire.method.encode(), path, headers, len(wire.body), ex.target_key)
        try:
            answer = await upstream.fetch(call, head, wire.body, limits.connect_s)
        finally:
            attempt.sent = call.sent
        attempt.status = answer.status
        attempt.headers = answer.headers
        attempt.first = call.first
        body = answer.body
        if isinstance(body, bytes):
            for secret in secrets:
                if secret in body:
                    body = answer.body = body.replace(secret, STRUCK)  # some providers quote the key they refuse
        if answer.status != 200:
            raise _judge(side, answer)
        own = _without(client_headers(answer.headers), secrets)
        return Reply(200, own, answer.body, "", ex.stream and not isinstance(answer.body, bytes))

    # -- relayed paths: byte by byte, both ways

    async def _relay(self, ex: Exchange, upstream: Upstream, limits: Limits, attempt: Attempt) -> Reply:
        origin = upstream.origin
        below = _relayed_path(origin.base, ex.relay_path)
        query = f"{'&' if '?' in below else '?'}{ex.query}" if ex.query else ""
        path = f"{below}{query}".encode("utf-8", "surrogateescape")
        headers = relay_request_headers(ex.raw_headers)
        upload = ex.upload
        body = ex.wire.body if ex.wire is not None else None
        credential = self._credentials.get(attempt.provider)
        secrets = self._secrets[attempt.provider]
        if credential is not None:
            if upload is not None and credential.signs_body:
                body, upload = await self._gathered(upload), None
            await credential.refresh()
            lines = credential.lines(ex.method, origin.authority, path.decode("latin-1"), headers, body or b"")
            headers += lines
            secrets += _secrets(lines)
        call = Call(self._loop, self._deadlines, limits, Kind.RAW, ex.progress, head_only=ex.method == "HEAD")
        if upload is None:
            head = upstream.head(ex.method.encode(), path, headers, -1 if body is None else len(body), ex.target_key)
            answer = await upstream.fetch(call, head, body or b"", limits.connect_s)
        else:
            head = upstream.head(ex.method.encode(), path, headers, upload.length, ex.target_key)
            connection = await upstream.open_upload(call, head, limits.connect_s)
            task = self._loop.create_task(self._pump(upload, call, connection))
            self._uploads.add(task)
            task.add_done_callback(self._uploads.discard)
            ex.on_end.append(lambda _: _cancel(task))
            try:
                answer = await call.ready
            except asyncio.CancelledError:
                call.abort()
                raise
        attempt.status = answer.status
        attempt.headers = answer.headers
        attempt.first = call.first
        reply = Reply(answer.status, _without(relay_response_headers(answer.headers), secrets), answer.body, "", True, answer.length)
        if secrets and answer.status >= 400:
            reply.taps += [Strike(secret, STRUCK) for secret in secrets]
            reply.length = None
        return reply

    async def _gathered(self, upload: Upload) -> bytes:
        """A streamed request body as a whole: a signature is over all of it."""
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                async with asyncio.timeout(self._body_timeout_s):
                    piece = await upload.read()
                if not piece:
                    return b"".join(parts)
                size += len(piece)
                if size > self._max_body:
                    raise GatewayError(413, "request_too_large", f"The request body exceeds {self._max_body} bytes.", source=Source.CLIENT)
                parts.append(piece)
        except TimeoutError:
            message = f"The request body stalled for {self._body_timeout_s:g} s."
            raise GatewayError(408, "body_timeout", message, source=Source.CLIENT) from None

    async def _pump(self, upload: Upload, call: Call, connection: Connection) -> None:
        """Streams the request body. Ends the call if the client stalls or sends less than it announced."""
        chunked = upload.length is None
        try:
            while True:
                async with asyncio.timeout(self._body_timeout_s):
                    piece = await upload.read()
                    if not piece:
                        break
                    if connection.closed:
                        return
                    connection.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                    await connection.drain()
        except TimeoutError:
            call.fail(GatewayError(408, "body_timeout", f"the request body stalled for {self._body_timeout_s:g} s"))
            return
        except GatewayError as error:
            call.fail(error)
            return
        if chunked and not connection.closed:
            connection.write(b"0\r\n\r\n")
        call.uploading = False


def _secrets(lines: HeaderList) -> tuple[bytes, ...]:
    """What must not come back of header lines that prove who we are: keys, tokens, and who signed. A line without a name is a key."""
    found: list[bytes] = []
    for name, value in lines:
        if name in CREDENTIALS:
            scheme, _, rest = value.partition(b" ")
            found += _SIGNED.findall(rest) if scheme == _SIGNATURE else [rest or scheme]
        elif not name or name.endswith(OTHER_CREDENTIALS):
            found.append(value)
    return tuple(secret for secret in dict.fromkeys(found) if len(secret) >= MIN_SECRET)


def _without(lines: HeaderList, secrets: tuple[bytes, ...]) -> HeaderList:
    """Header lines of a reply, less those that quote a credential."""
    if any(secret in value for secret in secrets for _, value in lines):
        return [line for line in lines if not any(secret in line[1] for secret in secrets)]
    return lines


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def _for_this(ex: Exchange, limits: Limits, now: float) -> Limits:
    """The limits of one attempt: what is configured, made shorter where another target waits or where the caller asked for it."""
    patience = ex.patience
    asked = asked_timeouts(ex.headers)
    if asked is None:
        if not patience:
            return limits
        first_token_s = min(limits.first_token_s, patience)
        total_s = limits.total_s if ex.stream else min(limits.total_s, patience)
        return Limits(limits.connect_s, first_token_s, limits.idle_s, total_s, limits.max_reply)
    total_s = min(limits.total_s, asked.total_s - (now - ex.started))
    if total_s <= 0:
        raise out_of_time()
    first_token_s = asked.first_token_s if asked.first_token_s < math.inf else patience or math.inf
    return Limits(
        min(limits.connect_s, asked.connect_s, total_s),
        min(limits.first_token_s, first_token_s),
        min(limits.idle_s, asked.idle_s),
        total_s if ex.stream else min(total_s, patience or math.inf),
        limits.max_reply,
    )


def _hurried(limits: Limits, usual: Limits, ex: Exchange) -> frozenset[str]:
    """Codes of the limits that are shorter because the caller wants it so: to exceed those is no fault of the provider's."""
    patience = ex.patience or math.inf
    return frozenset(
        code
        for code, here, there in (
            ("connect_timeout", limits.connect_s, usual.connect_s),
            ("first_token_timeout", limits.first_token_s, min(usual.first_token_s, patience)),
            ("idle_timeout", limits.idle_s, usual.idle_s),
            ("total_timeout", limits.total_s, usual.total_s if ex.stream else min(usual.total_s, patience)),
        )
        if here < there
    )


def _limits(times: TimeoutOptions | ForwardOptions, max_reply: int) -> Limits:
    return Limits(times.connect, times.first_token, times.idle, times.total, max_reply)


def _judge(side: ProviderSide, answer: Answer) -> GatewayError:
    """The error for a reply that is not a 200."""
    if answer.status < 400:
        return provider_error(
            502, "bad_reply", f"the provider answered with status {answer.status}, which is not followed", retryable=False
        )
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
    return side.error(answer.status, headers, answer.body if isinstance(answer.body, bytes) else b"")


def _relayed_path(base: str, path: str) -> str:
    """`path` below the provider's base path, which it may or may not repeat: `/openai/v1/files` and `/openai/files` both mean
    `/v1/files` at a provider whose base URL ends in `/v1`."""
    if not base or path == base or path.startswith(base + "/"):
        return path
    if base.endswith("/v1") and (path == "/v1" or path.startswith("/v1/")):
        return base + path[3:]
    return base + path
