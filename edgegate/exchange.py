"""The exchange: one request of a client and everything that happens until its end.

It travels through the chain by reference; each stage reads what earlier ones found out and writes what it is there to find
out. The comments name the writer of each group of fields.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import orjson

from edgegate.access.address import UNIX as UNIX
from edgegate.dialects.base import ClientSide, HeaderList, Json, Operation, Progress, Usage, WireRequest
from edgegate.errors import GatewayError
from edgegate.taps import Outcome, Tap
from edgegate.wire.document import parse_object
from edgegate.wire.splice import splice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgegate.access.keys import Key
    from edgegate.limiting.limiter import Hold
    from edgegate.routing.catalog import Plan, Target


STREAMED = frozenset({Operation.CHAT, Operation.COMPLETION})


class Sink(Protocol):
    """Where a body pushes its bytes. Neither method waits."""

    def push(self, data: bytes) -> None: ...

    def finish(self, outcome: Outcome, error: GatewayError | None) -> None:
        """Called exactly once, after the last `push`. `error` says what happened unless the outcome is OK."""
        ...


class Body(Protocol):
    """A reply body that is still arriving. It holds what came so far and pushes once it has a sink."""

    def attach(self, sink: Sink) -> None: ...

    def pause(self) -> None:
        """Stop reading from the provider until `resume()`: the client is slower than the provider."""
        ...

    def resume(self) -> None: ...

    def abort(self) -> None:
        """Close the provider's connection at once. Nothing is pushed afterwards and `finish` is not called."""
        ...


@dataclass(slots=True)
class Reply:
    """What goes back. `format` says in which format the bytes are, as far as the taps already added have brought them: the
    client's own, or the neutral form of the operation, which the gate translates for its client."""

    status: int
    headers: HeaderList
    body: bytes | Body
    format: str
    stream: bool = False
    length: int | None = None  # of a streaming body, where it is known beforehand (relayed files)
    taps: list[Tap] = field(default_factory=list)
    last_taps: list[Tap] | None = None  # behind the client's encoding: they see the bytes that the client gets
    encoded: bool = False  # the bytes are what the client gets, as kept by a last tap: neither translated nor framed again


class Upload(Protocol):
    """A request body that is streamed instead of read: relayed paths."""

    length: int | None

    async def read(self) -> bytes:
        """The next piece; b"" at the end."""
        ...


@dataclass(slots=True)
class Attempt:
    """One try at one target. Becomes one row of the ledger. Times are in seconds on the monotonic clock."""

    id: str
    provider: str
    dialect: str
    model: str
    started: float
    progress: Progress
    status: int = 0
    outcome: Outcome | None = None
    error: str = ""
    first: float = 0.0  # when the first meaningful event came
    ended: float = 0.0
    cost_nano_usd: int | None = None  # None: unknown
    headers: HeaderList = field(default_factory=list)  # of the provider's reply
    free: bool = False  # the built-in simulator answers it
    sent: bool = False  # its request was on the way to the provider; not noted of relayed paths
    estimated: bool = False  # its usage was counted here: the provider gave none
    reserved_nano_usd: int | None = None  # what it may cost at most; None: unknown
    hold: Hold | None = None  # what is reserved for it of budgets and limits, until it is settled
    key: Key | None = None  # who pays: whoever asked for it, also if another exchange goes on with it
    user: str = ""
    seq: int = 0  # of its row in the ledger; 0: it has none yet
    hurried: frozenset[str] = frozenset()  # codes of the time limits that the caller made shorter than the operator's

    @property
    def usage(self) -> Usage:
        return self.progress.usage

    def failed(self, error: GatewayError, now: float) -> None:
        """Notes the end of an attempt that gave no answer. The first word stands."""
        if self.outcome is None:
            self.outcome = Outcome.TIMEOUT if error.status == 504 else Outcome.REJECTED if error.status < 500 else Outcome.FAILED
            self.status = error.status
            self.error = error.code
            self.ended = now


@dataclass(slots=True)
class Exchange:
    """See the module. `id` is the request id that the client sees and every log line carries."""

    # the gate
    id: str
    method: str
    path: str  # raw path, without the query
    query: str
    headers: Mapping[str, str]  # case-insensitive
    raw_headers: tuple[tuple[bytes, bytes], ...]
    remote: str  # IP address of the peer, UNIX, or empty where it is not known
    operation: Operation
    client: ClientSide
    started: float  # monotonic seconds
    created: int  # Unix seconds
    body: bytes = b""
    upload: Upload | None = None
    model: str = ""  # as the client named it, in the body or in the path
    stream: bool = False
    close: bool = False  # whether the client's connection must not carry another request
    relay_provider: str = ""  # of a relayed path; empty where the model decides
    relay_family: str = ""  # whose API a path is, where nothing names the provider
    relay_path: str = ""
    # auth
    query_key: str = ""  # a key that stood in the query; taken out of it
    key: Key | None = None
    user: str = ""
    ip: str = ""  # the caller's address, also behind trusted proxies; UNIX, or empty where it is not known
    # limits
    hold: Hold | None = None  # what is reserved for the exchange, until its books are closed
    bounds: tuple[int, int] | None = None  # tokens that it may use at most, see `tokens.bounds`
    counted: bool = False  # the first of these was counted rather than bounded
    # cache
    cache: str = ""  # hit, miss, skip; empty without the stage
    # idempotency
    replayed: bool = False  # the answer is that of an earlier request with the same Idempotency-Key
    # coalesce
    coalesced: bool = False  # the answer is that of another exchange in flight
    # route
    plan: Plan | None = None
    # failover: the target of this attempt
    target: Target | None = None
    target_key: int = 0  # which of the provider's credentials
    patience: float = 0.0  # seconds this attempt may take to begin to answer, because another is left; 0: the provider's own limit
    midstream: str = ""  # continue or restart: what may be done if this stream breaks; empty: nothing
    rewritten: bool = False  # the neutral form was changed: it is what goes out, not the body
    # budget, once per attempt
    reserved_nano_usd: int | None = None  # what the attempt that is about to be made may cost at most; None: unknown
    reserved: Hold | None = None  # and what is reserved for it; forward hands both to the attempt
    ceiling_nano_usd: int | None = None  # what all attempts together may cost; None: not limited
    # translate, once per attempt
    wire: WireRequest | None = None
    dropped: list[str] = field(default_factory=list)  # fields that the target cannot carry
    mapped: list[str] = field(default_factory=list)  # fields that were written another way for it
    decoder: Tap | None = None
    progress: Progress = field(default_factory=Progress)
    # forward
    attempts: list[Attempt] = field(default_factory=list)
    attempt: Attempt | None = None  # the current one
    reply: Reply | None = None
    # the gate and the relay, at the end
    status: int = 0
    outcome: Outcome | None = None
    error: GatewayError | None = None
    ended: float = 0.0
    bytes_out: int = 0
    adrift: bool = False  # its caller is gone, but its answer is still read: it ends when that does
    on_end: list[Callable[[Exchange], None]] = field(default_factory=list)
    later: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    _request: Json | None = None
    _neutral: Json | None = None

    @property
    def request(self) -> Json:
        """The body as JSON, parsed and checked when first asked for: a caller is authenticated before its body is read closely.
        Raises a 400 in the client's words. Sets `model` and `stream`."""
        if self._request is None:
            request = parse_object(self.body)
            if self.model and self.client.model_in_body and request.get("model") != self.model:
                # Azure's paths name the deployment: the body need not, and what it says does not count
                self.body = splice(self.body, {"model": orjson.dumps(self.model)}, request)
                request["model"] = self.model
            self.client.check(request)
            self._request = request
            self.model = self.model or self.client.model(request)
            self.stream = self.operation in STREAMED and self.client.streams(request)
        return self._request

    def fork(self) -> Exchange:
        """The same exchange for an attempt beside this one: what belongs to an attempt is its own, the rest, the list of attempts
        included, is shared. It is never ended or recorded itself."""
        twin = copy.copy(self)
        twin.progress = Progress()
        twin.wire = twin.decoder = twin.reply = twin.attempt = None
        twin.dropped, twin.mapped = [], []
        return twin

    def adopt(self, twin: Exchange) -> None:
        """Makes the attempt of a fork this exchange's own: its reply is the one the caller gets."""
        self.target, self.target_key, self.patience = twin.target, twin.target_key, twin.patience
        self.wire, self.decoder, self.progress = twin.wire, twin.decoder, twin.progress
        self.dropped, self.mapped = twin.dropped, twin.mapped
        self.attempt, self.reply = twin.attempt, twin.reply

    def close_attempts(self, outcome: Outcome | None, error: GatewayError | None, now: float) -> None:
        """Notes how attempts ended of which nobody has noted it. Monotonic seconds."""
        for attempt in self.attempts:
            if attempt.outcome is None:
                attempt.outcome = outcome
                attempt.ended = now
                if error is not None:
                    attempt.error = error.code

    def aim(self, target: Target, key: int, patience: float) -> None:
        """The next attempt goes to this target, with this credential of its provider, and may take so long to begin to answer."""
        self.target, self.target_key, self.patience, self.attempt = target, key, patience, None

    def rewrite(self, neutral: Json) -> None:
        """Sends this instead of what the client wrote, in neutral form. For forks: the client's own request stays as it is."""
        self._neutral = neutral
        self.rewritten = True

    def neutral(self) -> Json:
        """The request in the neutral form of its operation, made when first asked for. Raises the client side's 400."""
        if self._neutral is None:
            self._neutral = self.client.neutral(self.request)
        return self._neutral
