"""From an exchange and its attempts to rows of the ledger."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgegate.ledger.row import MAX_TEXT, UNKNOWN, Row

if TYPE_CHECKING:
    from edgegate.exchange import Attempt, Exchange


def row_of(ex: Exchange, attempt: Attempt, number: int, holder: str, price_version: str) -> Row:
    """The row of an attempt; of one that still runs, what it becomes if its process dies: `unknown`, at the reserved cost."""
    usage = attempt.progress.usage
    key = ex.key
    outcome = attempt.outcome
    ended = attempt.ended
    started = attempt.started
    cost = attempt.cost_nano_usd if outcome is not None else attempt.reserved_nano_usd
    return Row(
        holder,
        attempt.seq,
        int((time.time() - time.monotonic() + started) * 1000),
        ex.id,
        number,
        key.tenant if key is not None else "",
        key.name if key is not None else "",
        ex.user,
        ",".join(key.tags) if key is not None and key.tags else "",
        ex.operation._value_,  # a plain str: sqlite3 looks at any other type for long
        ex.client.dialect,
        _clean(ex.model),
        attempt.provider,
        _clean(attempt.model or attempt.progress.model),
        ex.stream,
        "provider",
        attempt.status,
        outcome._value_ if outcome is not None else UNKNOWN,
        attempt.error,
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.reasoning_tokens,
        usage.input_audio_tokens,
        usage.output_audio_tokens,
        "estimated" if attempt.estimated else "reported" if usage.reported else "none",
        usage.tier,
        price_version if cost is not None else "",
        attempt.reserved_nano_usd,
        cost,
        int((ended - started) * 1e6) if ended else 0,
        int((attempt.first - started) * 1e6) if attempt.first else None,
    )


def unasked_row(ex: Exchange, seq: int, holder: str, source: str) -> Row:
    """The row of an answer that no provider was asked for. It costs nothing."""
    key = ex.key
    return Row(
        holder,
        seq,
        int((time.time() - time.monotonic() + ex.started) * 1000),
        ex.id,
        0,
        key.tenant if key is not None else "",
        key.name if key is not None else "",
        ex.user,
        ",".join(key.tags) if key is not None and key.tags else "",
        ex.operation._value_,
        ex.client.dialect,
        _clean(ex.model),
        "",
        "",
        ex.stream,
        source,
        ex.status,
        ex.outcome._value_ if ex.outcome is not None else "",
        "",
        *(0, 0, 0, 0, 0, 0, 0, 0),
        "none",
        "",
        "",
        None,
        0,
        int((ex.ended - ex.started) * 1e6),
        None,
    )


def _clean(text: str) -> str:
    """Short, and without lone surrogates, which no database takes: callers choose the names of models."""
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT]
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode().replace("\x00", "")
