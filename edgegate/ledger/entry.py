"""From an exchange and its attempts to rows of the ledger, as JSON (`row.encode`).

The values stand in the order of `Row`. They are put into a plain tuple and encoded at once: this runs for every request.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson

from edgegate.ledger.row import MAX_TEXT, UNKNOWN

if TYPE_CHECKING:
    from edgegate.exchange import Attempt, Exchange


def attempt_row(ex: Exchange, attempt: Attempt, number: int, holder: str, price_version: str) -> bytes:
    """The row of an attempt; of one that still runs, what it becomes if its process dies: `unknown`, at the reserved cost."""
    usage = attempt.progress.usage
    key = attempt.key
    outcome = attempt.outcome
    ended = attempt.ended
    started = attempt.started
    cost = attempt.cost_nano_usd if outcome is not None else attempt.reserved_nano_usd
    row = (
        holder,
        attempt.seq,
        int((time.time() - time.monotonic() + started) * 1000),
        ex.id,
        number,
        key.tenant if key is not None else "",
        key.name if key is not None else "",
        attempt.user,
        ",".join(key.tags) if key is not None and key.tags else "",
        ex.operation,
        ex.client.dialect,
        ex.model,
        attempt.provider,
        attempt.model or attempt.progress.model,
        1 if ex.stream else 0,
        "provider",
        attempt.status,
        outcome if outcome is not None else UNKNOWN,
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
    if len(ex.model) > MAX_TEXT or len(row[13]) > MAX_TEXT:
        return _cleaned(row)
    try:
        return orjson.dumps(row)
    except TypeError:  # a name that callers or providers choose, and that is no Unicode
        return _cleaned(row)


def unasked_row(ex: Exchange, seq: int, holder: str, source: str) -> bytes:
    """The row of an answer that no provider was asked for. It costs nothing."""
    key = ex.key
    return _cleaned(
        (
            holder,
            seq,
            int((time.time() - time.monotonic() + ex.started) * 1000),
            ex.id,
            0,
            key.tenant if key is not None else "",
            key.name if key is not None else "",
            ex.user,
            ",".join(key.tags) if key is not None and key.tags else "",
            ex.operation,
            ex.client.dialect,
            ex.model,
            "",
            "",
            1 if ex.stream else 0,
            source,
            ex.status,
            ex.outcome or "",
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
    )


def _cleaned(row: tuple[Any, ...]) -> bytes:
    """With texts that are short, and without what no database takes: lone surrogates, NUL."""
    return orjson.dumps([_clean(value) if isinstance(value, str) else value for value in row])


def _clean(text: str) -> str:
    return text[:MAX_TEXT].encode("utf-8", "backslashreplace").decode().replace("\x00", "")
