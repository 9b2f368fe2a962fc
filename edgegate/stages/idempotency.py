"""idempotency: a request that is sent again with the same `Idempotency-Key` is answered again, not carried out again.

- A key belongs to its caller and its path. The same key with another body is a 409.
- While the first request runs, others with its key wait for it and get its answer: also on another worker.
- A final answer (2xx, or a provider's word that the request is wrong) is kept for `ttl` and replayed byte for byte, a stream as a
  stream. It costs nothing and is no attempt.
- Whatever may be better next time frees the key: a failure, a broken stream, a caller who left before the end (unless the answer
  is read on, see `forward.client_gone`), refused credentials. So does an answer larger than `max_entry`.
- If the store fails, requests are served as if they had no key. Streamed uploads of relayed paths have none.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog
from multidict import istr

from edgegate.caching.scope import caller, varies
from edgegate.chain import Proceed
from edgegate.config.stages import IdempotencyOptions
from edgegate.dialects.base import Operation
from edgegate.errors import GatewayError, Source, bad_request
from edgegate.exchange import Exchange, Reply
from edgegate.resilience.timeouts import left_s, out_of_time
from edgegate.stores.base import BEAT_S, Found, Kept, State, Store, StoreError
from edgegate.taps import Outcome

HEADER = istr("Idempotency-Key")
_VALID = re.compile(r"[!-~]{1,255}", re.ASCII)

KEPT_HEADERS = frozenset({b"content-type", b"content-encoding", b"content-disposition"})
ERROR_HEADERS = ((b"content-type", b"application/json"), (b"x-edgegate-error-source", Source.PROVIDER.encode()))

NOT_THE_REQUEST = frozenset({401, 402, 403, 407, 408, 409, 423, 425, 429})
"""4xx that speak of the provider's account or of the moment, not of the request."""

POLL_S = (0.05, 0.2)
"""How often another worker's claim is looked at: at first, and later."""

ROUNDS = 4
"""How many requests with its key a caller sees come to nothing before it is told so."""

COMPLAIN_S = 60.0


class Run:
    """A first request. `done` resolves with its answer, its error, or None if it came to nothing else."""

    __slots__ = ("done", "key", "settled", "token")

    def __init__(self, key: bytes, token: bytes, done: asyncio.Future[Kept | GatewayError | None]) -> None:
        self.key = key
        self.token = token
        self.done = done
        self.settled = False


class Idempotency:
    """See the module. Owns the store, the heartbeat of this worker's claims, and the tasks that keep answers."""

    def __init__(self, options: IdempotencyOptions, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._store = store
        self._clock = clock
        self._runs: dict[bytes, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._beat: asyncio.Task[None] | None = None
        self._quiet_until = 0.0
        self._log = structlog.get_logger("idempotency")

    async def open(self) -> None:
        await self._store.open()
        self._beat = asyncio.get_running_loop().create_task(self._beats())

    async def close(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
            await asyncio.wait([self._beat])
        for run in list(self._runs.values()):
            self.settle(run, None)
        if self._tasks:
            await asyncio.wait(self._tasks)  # each has the store's own time limit
        await self._store.close()

    def __call__(self, ex: Exchange, proceed: Proceed) -> Awaitable[Reply]:
        given = ex.headers.get(HEADER)
        if given is None or ex.method != "POST" or ex.upload is not None:
            return proceed(ex)
        return self._once(ex, proceed, given)

    @property
    def max_entry(self) -> int:
        return self._options.max_entry

    # -- one request

    async def _once(self, ex: Exchange, proceed: Proceed, given: str) -> Reply:
        if not _VALID.fullmatch(given):
            raise bad_request("Idempotency-Key: expected 1 to 255 visible ASCII characters.", "Idempotency-Key")
        key = _hash(caller(ex), "" if ex.key is not None else ex.user, ex.path, given)
        fingerprint = _hash(ex.path, ex.query, *varies(ex), body=ex.body)
        token = secrets.token_bytes(12)
        for _ in range(ROUNDS):
            try:
                found = await self._claim(key, fingerprint, token)
                if found.state is State.MINE:
                    break
                if found.state is State.OTHER:
                    raise _reused()
                answer = found.kept or await self._wait_for(ex, key, fingerprint, found.token)
            except StoreError as error:
                self._complain(error)
                return await proceed(ex)
            if isinstance(answer, GatewayError):
                raise answer.again()
            if answer is not None:
                return _replay(ex, answer)
        else:
            message = "Other requests with this Idempotency-Key come and go without an answer."
            raise GatewayError(409, "idempotency_key_in_use", message, source=Source.CLIENT, retry_after_s=1.0)
        return await self._first(ex, proceed, key, token)

    async def _claim(self, key: bytes, fingerprint: bytes, token: bytes) -> Found:
        try:
            return await self._store.claim(key, fingerprint, token)
        except (StoreError, asyncio.CancelledError):
            self._store.abandon(key, token)  # it may have been made
            raise

    async def _first(self, ex: Exchange, proceed: Proceed, key: bytes, token: bytes) -> Reply:
        run = self._runs[key] = Run(key, token, asyncio.get_running_loop().create_future())
        result: GatewayError | Kept | None = None
        handed_on = False
        try:
            reply = await proceed(ex)
            reply.last_taps = [*(reply.last_taps or ()), Keep(self, run, reply)]
            ex.on_end.append(lambda _: self.settle(run, None))  # a reply that was never read to an end
            handed_on = True
            return reply
        except GatewayError as error:
            result = Kept(error.status, list(ERROR_HEADERS), ex.client.error(error, ex.id), False) if _is_final(error) else error
            raise
        finally:
            if not handed_on:
                self.settle(run, result)

    async def _wait_for(self, ex: Exchange, key: bytes, fingerprint: bytes, token: bytes) -> Kept | GatewayError | None:
        """As `_wait`, no longer than the caller allows."""
        allowed_s = left_s(ex.headers, time.monotonic() - ex.started)
        if allowed_s == math.inf:
            return await self._wait(key, fingerprint, token)
        try:
            async with asyncio.timeout(allowed_s):
                return await self._wait(key, fingerprint, token)
        except TimeoutError:
            raise out_of_time() from None

    async def _wait(self, key: bytes, fingerprint: bytes, token: bytes) -> Kept | GatewayError | None:
        """What became of a running request, as far as can be told: None if its key is free, or another's."""
        run = self._runs.get(key)
        if run is not None and run.token == token:
            return await asyncio.shield(run.done)
        pause, longest = POLL_S
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, longest)
            found = await self._store.look(key, fingerprint)
            if found.state is State.KEPT:
                return found.kept
            if found.state is not State.RUNNING or found.token != token:
                return None

    # -- the end of a first request

    def settle(self, run: Run, result: Kept | GatewayError | None) -> None:
        """What became of a first request. Anything but an answer frees its key. Only the first call counts."""
        if run.settled:
            return
        run.settled = True
        run.done.set_result(result)
        self._spawn(self._store_result(run, result if isinstance(result, Kept) else None))

    async def _store_result(self, run: Run, kept: Kept | None) -> None:
        try:
            if kept is not None and len(kept.body) <= self._options.max_entry:
                try:
                    await self._store.keep(run.key, run.token, kept)
                    return
                except StoreError as error:
                    self._complain(error)
            await self._store.release(run.key, run.token)
        except StoreError as error:
            self._complain(error)
            self._store.abandon(run.key, run.token)
        finally:
            if self._runs.get(run.key) is run:
                del self._runs[run.key]

    # -- what is owned

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await self._store.beat([(run.key, run.token) for run in self._runs.values()])
            except StoreError as error:
                self._complain(error)

    def _complain(self, error: StoreError) -> None:
        now = self._clock()
        if now >= self._quiet_until:
            self._quiet_until = now + COMPLAIN_S
            self._log.warning("idempotency_store", error=str(error), effect="requests are served without idempotency")


class Keep:
    """The last tap of a first request: gathers what the caller gets. Gives up when it grows too large."""

    __slots__ = ("_parts", "_reply", "_run", "_size", "_stage")

    def __init__(self, stage: Idempotency, run: Run, reply: Reply) -> None:
        self._stage = stage
        self._run = run
        self._reply = reply
        self._parts: list[bytes] | None = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        if self._parts is not None:
            self._size += len(data)
            if self._size > self._stage.max_entry:
                self._parts = None
            else:
                self._parts.append(data)
        return data

    def end(self, outcome: Outcome) -> bytes:
        reply = self._reply
        final = 200 <= reply.status < 300 or _speaks_of_the_request(reply.status)
        if outcome is Outcome.OK and self._parts is not None and final:
            headers = [line for line in reply.headers if line[0] in KEPT_HEADERS]
            self._stage.settle(self._run, Kept(reply.status, headers, b"".join(self._parts), reply.stream))
        else:
            self._stage.settle(self._run, None)
        return b""


def _replay(ex: Exchange, kept: Kept) -> Reply:
    if ex.operation is not Operation.RELAY:
        _ = ex.request  # the model's name and whether it is a stream, for the log
    ex.replayed = True
    stream = kept.stream and ex.operation is not Operation.RELAY
    return Reply(kept.status, list(kept.headers), kept.body, "", stream, encoded=True)


def _is_final(error: GatewayError) -> bool:
    return error.source is Source.PROVIDER and not error.retryable and _speaks_of_the_request(error.status)


def _speaks_of_the_request(status: int) -> bool:
    return 400 <= status < 500 and status not in NOT_THE_REQUEST


def _reused() -> GatewayError:
    message = "This Idempotency-Key was used before with another request: send the same request again, or take a new key."
    return GatewayError(409, "idempotency_key_reused", message, param="Idempotency-Key", source=Source.CLIENT)


def _hash(*parts: str, body: bytes = b"") -> bytes:
    """Of parts that cannot be mistaken for others: each has its length before it."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "backslashreplace")
        digest.update(b"%d:" % len(data))
        digest.update(data)
    digest.update(body)
    return digest.digest()
