"""Logs: one JSON line per exchange and per attempt through a buffer of its own, structlog for everything else.

structlog costs 9 us a line, which is too much for every request: the exchange line is put together from remembered pieces of JSON
and goes into a list that a timer writes out. Prompts, answers, keys and header values are in neither; at level debug with
`log.prompts` the request bodies are.
"""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import orjson
import structlog

from edgegate.config.model import LogOptions
from edgegate.wire.headers import parse_traceparent

if TYPE_CHECKING:
    from edgegate.exchange import Attempt, Exchange

FLUSH_S = 0.1
FLUSH_LINES = 64
"""Some 40 KB: written while it is still in the processor's cache (a tenth of a second's worth at full load is not)."""
MAX_REMEMBERED = 4096

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
MAX_PROMPT_CHARS = 10_000


class ExchangeLog:
    """See the module. `open` starts the timer on the running loop; `close` writes what is left."""

    def __init__(self, options: LogOptions, file: BinaryIO) -> None:
        self._file = file
        self._lines: list[bytes] = []
        self._level = LEVELS[options.level]
        self._prompts = options.prompts and self._level <= LEVELS["debug"]
        self._pretty = options.format == "pretty"
        self._remembered: dict[tuple[Any, ...], bytes] = {}
        self._handle: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._flush()

    def exchange(self, ex: Exchange) -> None:
        """The lines of one exchange: `request` with how it ended and its last attempt, before it an `attempt` for each earlier
        one. So every attempt stands in exactly one line, which is its row in the ledger: provider, tokens, cost."""
        if self._level > LEVELS["info"]:
            return
        attempts = ex.attempts
        for attempt in attempts[:-1]:
            start = b'{"event":"attempt","ts":%d,"request_id":"%b"' % (ex.created, ex.id.encode())
            self._add(start + self._charge(ex, attempt) + b"}")
        outcome = ex.outcome
        line = b'{"event":"request","ts":%d,"request_id":"%b","status":%d,"outcome":"%b","ms":%.3f,"bytes":%d,"attempts":%d%b' % (
            ex.created,
            ex.id.encode(),  # validated: letters, digits and . _ : - need no escaping
            ex.status,
            outcome.encode() if outcome is not None else b"",
            (ex.ended - ex.started) * 1e3,
            ex.bytes_out,
            len(attempts),
            self._asked(ex),
        )
        if attempts:
            line += self._charge(ex, attempts[-1])
        elif ex.key is not None:
            line += b',"key":' + orjson.dumps(ex.key.name)
        rare = self._rare(ex)
        if rare:
            line += b"," + orjson.dumps(rare)[1:-1]
        self._add(line + b"}")

    def _asked(self, ex: Exchange) -> bytes:
        """The columns that say what was asked: few different ones, so they are remembered as JSON."""
        columns = (ex.method, ex.path[:200], ex.operation, ex.client.dialect, ex.model[:200], ex.stream)
        known = self._remembered.get(columns)
        if known is None:
            names = ("method", "path", "operation", "dialect", "requested_model", "stream")
            known = self._remember(columns, dict(zip(names, columns, strict=True)))
        return known

    def _charge(self, ex: Exchange, attempt: Attempt) -> bytes:
        """An attempt's columns. Cost in US dollars as a decimal string, exact to the nano-dollar; null if unknown. Times in ms."""
        usage = attempt.usage
        cost = attempt.cost_nano_usd
        key = ex.key
        model = (attempt.model or attempt.progress.model)[:200]
        columns = (attempt.provider, model, attempt.status, attempt.outcome, attempt.error, key, ex.user)
        who = self._remembered.get(columns)
        if who is None:
            named: dict[str, Any] = {"provider": attempt.provider, "model": model, "attempt_status": attempt.status}
            named["attempt_outcome"] = attempt.outcome
            if attempt.error:
                named["attempt_error"] = attempt.error
            if key is not None:
                named["key"] = key.name
                if key.tenant:
                    named["tenant"] = key.tenant
            if ex.user:
                named["user"] = ex.user
            who = self._remember(columns, named)
        return b'%b,"attempt_id":"%b","attempt_ms":%.3f,"first_ms":%b,"usage":"%b",%b,"cost_usd":%b' % (
            who,
            attempt.id.encode(),
            (attempt.ended - attempt.started) * 1e3,
            b"%.3f" % ((attempt.first - attempt.started) * 1e3) if attempt.first else b"null",
            b"estimated" if attempt.estimated else b"reported" if usage.reported else b"none",
            b'"input_tokens":%d,"output_tokens":%d,"cached_tokens":%d,"cache_write_tokens":%d,"reasoning_tokens":%d'
            % (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens),
            b'"%d.%09d"' % divmod(cost, 1_000_000_000) if cost is not None else b"null",
        )

    def _rare(self, ex: Exchange) -> dict[str, Any]:
        """The columns that most lines do not have."""
        line: dict[str, Any] = {}
        if ex.cache:
            line["cache"] = ex.cache
        if ex.coalesced:
            line["coalesced"] = True
        if ex.replayed:
            line["replayed"] = True
        if ex.error is not None:
            line["error"] = ex.error.code
            line["error_source"] = ex.error.source
        if ex.dropped:
            line["dropped"] = ex.dropped
        if ex.mapped:
            line["mapped"] = ex.mapped
        trace = ex.headers.get("traceparent")
        if trace is not None and (parsed := parse_traceparent(trace)) is not None:
            line["trace_id"] = parsed[0]
        if self._prompts:
            line["body"] = ex.body[:MAX_PROMPT_CHARS].decode("utf-8", "replace")
        return line

    def _remember(self, columns: tuple[Any, ...], named: dict[str, Any]) -> bytes:
        if len(self._remembered) >= MAX_REMEMBERED:  # clients choose paths and models
            self._remembered.clear()
        # a path may hold any bytes, which aiohttp gives as lone surrogates
        clean = {
            name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value for name, value in named.items()
        }
        known = b"," + orjson.dumps(clean)[1:-1]
        self._remembered[columns] = known
        return known

    def _add(self, line: bytes) -> None:
        self._lines.append(_pretty(line) if self._pretty else line)
        if len(self._lines) >= FLUSH_LINES:
            self._flush()
            return
        if self._handle is None and self._loop is not None:
            self._handle = self._loop.call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._lines:
            data = b"\n".join(self._lines) + b"\n"
            self._lines = []
            self._file.write(data)


def _pretty(text: bytes) -> bytes:
    line: dict[str, Any] = orjson.loads(text)
    shown = " ".join(
        f"{name}={_plain(value)}" for name, value in line.items() if value not in (None, "", 0) and name not in ("event", "ts")
    )
    return f"{line['event']:8} {shown}".encode()


def _plain(value: Any) -> str:
    """A value for a line that people read; a text with control characters stays in its JSON form, so that it cannot forge a line."""
    text = str(value)
    return text if text.isprintable() else orjson.dumps(value).decode()


def configure(options: LogOptions, file: BinaryIO) -> None:
    """Sets structlog up for this process: same file, same shape as the exchange lines."""
    render: Any = (
        structlog.processors.JSONRenderer(serializer=lambda value, **_: orjson.dumps(value, default=str))
        if options.format == "json"
        else structlog.processors.LogfmtRenderer(key_order=["event"])
    )
    factory: Any = structlog.BytesLoggerFactory(file) if options.format == "json" else structlog.WriteLoggerFactory(_text(file))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[options.level]),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )


def _text(file: BinaryIO) -> TextIO:
    return io.TextIOWrapper(file, encoding="utf-8", write_through=True)
