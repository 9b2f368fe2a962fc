"""How many tokens a request may use at most, for reserving: quick, and never too few.

No tokenizer makes more tokens of a text than it has bytes, so the bytes of a request are the bound; usual texts have four bytes to a
token. Whoever has no room for so many counts (`Estimates.most_input`) before refusing. Pictures and files that stand in the request
as base64 count by the picture, as in `count.py`. What the answer may have is what the request allows; where it allows anything, what
the operator takes an answer to have.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edgegate.dialects.base import Json, Operation
from edgegate.tokens.count import FILES, PER_BYTE_OF_FILE, PER_PICTURE

if TYPE_CHECKING:
    from edgegate.exchange import Exchange

LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
COUNTS = ("n", "num_generations", "best_of")
NESTED = ("generationConfig", "generation_config", "options")
LONGEST = ("maxOutputTokens", "max_output_tokens", "num_predict")
CANDIDATES = ("candidateCount", "candidate_count")
"""Where formats have the longest answer and the number of answers: OpenAI, Anthropic, Cohere; Responses; below another name, Gemini
(in two spellings) and Ollama."""

DECIDING = frozenset({*LIMITS, *COUNTS, *NESTED, "prompt"})

ANSWERED = frozenset({Operation.CHAT, Operation.COMPLETION})
MOST = 10_000_000
"""More tokens than any model takes or gives: larger numbers in requests are slips."""

LARGE_BODY = 16 * 1024
"""Beyond it a body may hold files: they are looked for."""

LONG_TEXT = 1024
LONGEST_NUMBER = 40


def most_tokens(ex: Exchange, answer_tokens: int) -> tuple[int, int]:
    """(input, output) that this request may use at most; `ex.bounds` remembers it. `answer_tokens` counts where the request sets no
    limit. Raises the client side's 400 for a request that cannot be understood."""
    if ex.operation is Operation.RELAY:
        return 0, 0
    request = ex.request
    body = ex.body
    size = len(body) if len(body) <= LARGE_BODY else _size(request)
    if b"image" in body:  # by its address a picture has few bytes
        size += body.count(b'"image') * PER_PICTURE
    answer = _answer(request, answer_tokens) if ex.operation in ANSWERED else 0
    ex.bounds = bounds = (min(MOST, size), answer)
    return bounds


def _answer(request: Json, answer_tokens: int) -> int:
    """Where several limits are given, the largest counts: which one holds is for the provider to say."""
    if DECIDING.isdisjoint(request):
        return answer_tokens
    most = times = 0
    for name in LIMITS:
        if name in request and (value := _whole(request[name])) > most:
            most = value
    for name in COUNTS:
        if name in request and (value := _whole(request[name])) > times:
            times = value
    for outer in NESTED:
        if outer in request and isinstance(inner := request[outer], dict):
            for name, value in inner.items():
                if name in LONGEST:
                    most = max(most, _whole(value))
                elif name in CANDIDATES:
                    times = max(times, _whole(value))
    if "prompt" in request and isinstance(prompts := request["prompt"], list) and not all(type(token) is int for token in prompts[:1]):
        times = (times or 1) * len(prompts)  # of completions: each has its answers
    return min(MOST, (most or answer_tokens) * (times or 1))


def _whole(value: Any) -> int:
    """A number of a request, also as a float or as text: some servers take these. 0 for what is none."""
    if type(value) is int:
        return value
    if isinstance(value, str) and len(value) <= LONGEST_NUMBER:
        try:
            value = float(value)
        except ValueError:
            return 0
    return math.ceil(min(value, MOST)) if isinstance(value, float) and value > 0 else 0


def _size(request: Json) -> int:
    """The bytes of a request; files count by what they cost. Only where a format has files is a text taken for one: a prompt that
    looks like a file is charged as a prompt."""
    size = 0
    rest: list[tuple[str, Any]] = [("", request)]
    while rest and size < MOST:
        name, value = rest.pop()
        if isinstance(value, str):
            size += _file_size(value) if name in FILES and len(value) > LONG_TEXT else _bytes(value)
        elif isinstance(value, dict):
            size += sum(map(_bytes, value)) + 4 * len(value)  # quotes, commas, braces
            rest += value.items()
        elif isinstance(value, list):
            size += 4 * len(value)
            if size < MOST:  # there may be millions of numbers
                rest += [(name, item) for item in value if isinstance(item, str | dict | list)]
    return size


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _file_size(text: str) -> int:
    if text.startswith("data:image/"):
        return PER_PICTURE
    return max(PER_PICTURE, int(len(text) * PER_BYTE_OF_FILE))
