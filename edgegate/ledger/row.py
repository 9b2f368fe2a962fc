"""A row of the ledger: one attempt at a provider, or one answer that cost no attempt.

The order of the fields is the order of the table's columns. `(holder, seq)` names a row for good: writing it again changes nothing.
Money in nano-dollars, None where it is not known; times in microseconds.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import orjson

UNKNOWN = "unknown"
"""The outcome of an attempt whose process died: what it used is not known, it is charged what was reserved for it."""


class Row(NamedTuple):
    """See the module. Texts hold no lone surrogates and are cut to `MAX_TEXT` characters by whoever makes the row."""

    holder: str  # the process that made the attempt: random, one per process
    seq: int  # counts within it
    at_ms: int  # when it began, Unix milliseconds
    request_id: str  # may repeat: callers can choose it
    attempt: int  # 1 is the first of its exchange; 0: an answer without an attempt
    tenant: str
    key: str  # its name
    user: str
    tags: str  # separated by commas
    operation: str
    dialect: str  # the caller's
    requested_model: str
    provider: str  # empty: no attempt
    model: str  # as the provider calls it
    stream: int
    source: str  # provider, cache, replay, coalesced
    status: int
    outcome: str  # of taps.Outcome, or UNKNOWN
    error: str  # code
    input_tokens: int
    output_tokens: int
    cached_tokens: int  # part of the input, as the next two
    cache_write_tokens: int
    cache_write_1h_tokens: int
    reasoning_tokens: int  # part of the output
    input_audio_tokens: int
    output_audio_tokens: int
    usage: str  # reported, estimated, none
    tier: str  # service tier as the provider reported it: batch, flex, priority; empty: the usual one
    price_version: str  # which catalogue priced it; empty: no price known
    reserved_nano_usd: int | None
    cost_nano_usd: int | None
    duration_us: int
    first_us: int | None  # until the first meaningful event

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def day(self) -> str:
        """UTC, as `2026-11-21`."""
        return time.strftime("%Y-%m-%d", time.gmtime(self.at_ms / 1000))


def encode(row: Row) -> bytes:
    """A row as a JSON array, which is what stores are given: made at once, while the values are still in the processor's cache, it
    costs a fifth of what handing them over later does."""
    return orjson.dumps(tuple(row))


def decode(text: bytes | str) -> Row:
    return Row._make(orjson.loads(text))


COLUMNS: tuple[str, ...] = Row._fields
MAX_TEXT = 200


def as_json(row: Row) -> dict[str, Any]:
    """A row for people and programs: money in dollars as an exact decimal text, null if unknown; times in ms."""
    shown: dict[str, Any] = row._asdict()
    for name in ("reserved", "cost"):
        nano = shown.pop(f"{name}_nano_usd")
        shown[f"{name}_usd"] = None if nano is None else f"{nano // 1_000_000_000}.{nano % 1_000_000_000:09d}"
    for name in ("duration", "first"):
        us = shown.pop(f"{name}_us")
        shown[f"{name}_ms"] = None if us is None else us / 1000
    shown["stream"] = bool(row.stream)
    return shown
