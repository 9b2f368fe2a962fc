"""Logs: one JSON line per exchange and per attempt through a buffer of its own, structlog for everything else.

structlog costs 9 us a line, which is too much for every request: the exchange line is one orjson.dumps into a list that a timer
writes out (0.8 us). Prompts, answers, keys and header values are in neither; at level debug with `log.prompts` the bodies are.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import orjson
import structlog

from edgegate.config.model import LogOptions
from edgegate.wire.headers import parse_traceparent

if TYPE_CHECKING:
    from edgegate.exchange import Attempt, Exchange

FLUSH_S = 0.1
MAX_BUFFERED = 20_000
"""Lines kept while the log cannot be written (a full pipe); further ones are counted and dropped rather than let memory grow."""

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
        self._handle: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.dropped = 0

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
            line: dict[str, Any] = {"event": "attempt", "ts": ex.created, "request_id": ex.id}
            self._add(_charge(line, ex, attempt))
        line = {
            "event": "request",
            "ts": ex.created,
            "request_id": ex.id,
            "method": ex.method,
            "path": ex.path[:200],
            "operation": ex.operation.value,
            "dialect": ex.client.dialect,
            "requested_model": ex.model[:200],
            "stream": ex.stream,
            "status": ex.status,
            "outcome": ex.outcome.value if ex.outcome is not None else None,
            "attempts": len(attempts),
            "bytes": ex.bytes_out,
            "ms": round((ex.ended - ex.started) * 1e3, 3),
        }
        if attempts:
            _charge(line, ex, attempts[-1])
        elif ex.key is not None:
            line["key"] = ex.key.name
        if ex.cache:
            line["cache"] = ex.cache
        if ex.error is not None:
            line["error"] = ex.error.code
            line["error_source"] = ex.error.source.value
        if ex.dropped:
            line["dropped"] = ex.dropped
        trace = ex.headers.get("traceparent")
        if trace is not None and (parsed := parse_traceparent(trace)) is not None:
            line["trace_id"] = parsed[0]
        if self._prompts:
            line["body"] = ex.body[:MAX_PROMPT_CHARS].decode("utf-8", "replace")
        self._add(line)

    def _add(self, line: dict[str, Any]) -> None:
        if len(self._lines) >= MAX_BUFFERED:
            self.dropped += 1
            return
        self._lines.append(_pretty(line) if self._pretty else orjson.dumps(line))
        if self._handle is None and self._loop is not None:
            self._handle = self._loop.call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._handle = None
        if not self._lines:
            return
        if self.dropped:
            self._lines.append(orjson.dumps({"event": "log_lines_dropped", "count": self.dropped}))
            self.dropped = 0
        data = b"\n".join(self._lines) + b"\n"
        self._lines = []
        try:
            self._file.write(data)
            self._file.flush()
        except (OSError, ValueError):  # a closed pipe must not end the gateway
            self.dropped += data.count(b"\n")


def _charge(line: dict[str, Any], ex: Exchange, attempt: Attempt) -> dict[str, Any]:
    """Adds an attempt's columns. Cost in US dollars as a decimal string, exact to the nano-dollar; null if unknown. Times in ms."""
    usage = attempt.usage
    cost = attempt.cost_nano_usd
    key = ex.key
    line["attempt_id"] = attempt.id
    if key is not None:
        line["key"] = key.name
        if key.tenant:
            line["tenant"] = key.tenant
    if ex.user:
        line["user"] = ex.user
    line["provider"] = attempt.provider
    line["model"] = attempt.model or attempt.progress.model
    line["attempt_status"] = attempt.status
    line["attempt_outcome"] = attempt.outcome.value if attempt.outcome is not None else None
    if attempt.error:
        line["attempt_error"] = attempt.error
    line["usage"] = "reported" if usage.reported else "none"
    line["input_tokens"] = usage.input_tokens
    line["output_tokens"] = usage.output_tokens
    line["cached_tokens"] = usage.cached_tokens
    line["cache_write_tokens"] = usage.cache_write_tokens
    line["reasoning_tokens"] = usage.reasoning_tokens
    line["cost_usd"] = f"{cost // 1_000_000_000}.{cost % 1_000_000_000:09d}" if cost is not None else None
    line["attempt_ms"] = round((attempt.ended - attempt.started) * 1e3, 3)
    if attempt.first:
        line["first_ms"] = round((attempt.first - attempt.started) * 1e3, 3)
    return line


def _pretty(line: dict[str, Any]) -> bytes:
    shown = " ".join(f"{name}={value}" for name, value in line.items() if value not in (None, "", 0) and name not in ("event", "ts"))
    return f"{line['event']:8} {shown}".encode()


def open_log(options: LogOptions) -> BinaryIO:
    """The file the log goes to; standard output by default. A duplicate of its descriptor, so that closing it is harmless."""
    if options.file:
        return open(options.file, "ab")
    return os.fdopen(os.dup(sys.stdout.fileno()), "wb")


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
