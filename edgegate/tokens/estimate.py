"""What an attempt used, where its provider did not say it: a stream that was cut, a caller that left, an attempt that lost a race, a
provider that never reports. Nothing that a provider charges for is free because its report is missing.

The input is counted as `count.py` counts (a large text by its length), once per exchange and in a thread of its own; the output is a
quarter of `Progress.text_bytes`. Reasoning that a provider hides cannot be seen and is not counted. Numbers that were reported stay;
the output of an answer that was cut is the larger of the two, since what had been reported was not its end.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from edgegate.dialects.base import Operation
from edgegate.errors import GatewayError
from edgegate.exchange import Attempt, Exchange
from edgegate.taps import Outcome
from edgegate.tokens.count import Estimator, pieces_of

BYTES_PER_TOKEN = 4
MAX_TEXT = 1_000_000
"""Characters of a request's texts that are cut into tokens; more, and their length says enough."""

MARGIN = 16
"""Tokens around messages, which vendors count differently."""

COUNT_S = 5.0
"""How long a count may take, waiting for others included."""

CHATS = frozenset({Operation.CHAT, Operation.COMPLETION})
CHARGED = CHATS | {Operation.EMBEDDINGS}
"""Operations that are paid by the token. Relayed paths are not: nobody understands their bodies."""

CUT = frozenset({Outcome.UPSTREAM_BROKE, Outcome.TIMEOUT, Outcome.CLIENT_GONE, Outcome.DRAINED, Outcome.CANCELLED})
"""How attempts end at which a provider was at work."""

_FAULTS = (
    GatewayError,
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""A count must not fail: requests hold anything."""


def needs_estimate(attempt: Attempt) -> bool:
    """Whether a provider will have charged this attempt without having said how much, or not to the end. Not what was never sent, nor
    what the provider answered with an error."""
    usage = attempt.usage
    if attempt.outcome is Outcome.OK:
        return not usage.reported
    if attempt.outcome not in CUT or not attempt.sent:
        return False
    if attempt.status >= 400 and attempt.headers:  # its own answer, such as a 504, and no time limit of ours
        return False
    return not usage.reported or not attempt.progress.finished


class Estimates:
    """See the module. Owns its thread; `close` ends it."""

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator
        self._thread = ThreadPoolExecutor(1, "estimates")

    def needed(self, ex: Exchange) -> bool:
        """Whether any attempt of an exchange that has ended needs an estimate."""
        for attempt in ex.attempts:
            if needs_estimate(attempt):
                return ex.operation in CHARGED
        return False

    async def fill(self, ex: Exchange) -> None:
        """Writes what the attempts used and marks them as estimated. Takes at most `COUNT_S`. If it is cancelled it has been done
        roughly."""
        tokens = _rough(ex)
        try:
            if ex.operation in CHATS:
                tokens = await self._count(ex)
        finally:
            _fill(ex, tokens)

    def fill_roughly(self, ex: Exchange) -> None:
        """The same at once, the input by the length of the body."""
        _fill(ex, _rough(ex))

    async def most_input(self, ex: Exchange) -> int:
        """The input tokens of a request, counted, and an eighth more: vendors cut texts in different ways. Takes at most `COUNT_S`;
        what cannot be counted is as much as it has bytes."""
        try:
            async with asyncio.timeout(COUNT_S):
                tokens = await asyncio.get_running_loop().run_in_executor(self._thread, self._most_input, ex)
        except _FAULTS:
            return len(ex.body)
        return tokens + tokens // 8 + MARGIN

    def _most_input(self, ex: Exchange) -> int:
        neutral = ex.neutral()
        if ex.operation is Operation.EMBEDDINGS:
            neutral = {"messages": [{"content": neutral.get("input")}]}
        elif ex.operation not in CHATS:
            return len(ex.body)
        texts, rest = pieces_of(neutral)
        length = sum(map(len, texts))
        return (
            self._estimator.count(neutral)
            if length <= MAX_TEXT
            else round(rest + sum(len(text.encode("utf-8", "replace")) for text in texts))
        )

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _count(self, ex: Exchange) -> int:
        try:
            async with asyncio.timeout(COUNT_S):
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._input, ex)
        except _FAULTS:
            return _rough(ex)

    def _input(self, ex: Exchange) -> int:
        """Input tokens; blocks."""
        chat = ex.neutral()
        texts, rest = pieces_of(chat)
        length = sum(map(len, texts))
        return self._estimator.count(chat) if length <= MAX_TEXT else round(rest + length / BYTES_PER_TOKEN)


async def count_input(ex: Exchange, estimates: Estimates) -> None:
    """Makes the bound of an exchange's input what it really has, once."""
    if not ex.counted and ex.bounds is not None:
        ex.counted = True
        before, after = ex.bounds
        ex.bounds = (min(before, await estimates.most_input(ex)), after)


def _rough(ex: Exchange) -> int:
    return max(1, len(ex.body) // BYTES_PER_TOKEN)


def _fill(ex: Exchange, tokens: int) -> None:
    for attempt in ex.attempts:
        if needs_estimate(attempt):
            usage, size = attempt.usage, attempt.progress.text_bytes
            usage.input_tokens = usage.input_tokens or tokens
            if size:
                usage.output_tokens = max(usage.output_tokens, round(size / BYTES_PER_TOKEN), 1)
            attempt.estimated = True
