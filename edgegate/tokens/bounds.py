"""How many tokens a request may use at most, for reserving: quick, and never too few.

No tokenizer makes more tokens of a text than it has bytes, so the bytes of a request are the bound; usual texts have four bytes to a
token. Whoever has no room for so many counts (`Estimates.most_input`) before refusing. Pictures and files that stand in the request
as base64 count by the picture, as in `count.py`. What the answer may have is what the request allows; where it allows anything, what
the operator takes an answer to have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgegate.dialects.base import Json, Operation
from edgegate.tokens.count import PER_BYTE_OF_FILE, PER_PICTURE

if TYPE_CHECKING:
    from edgegate.exchange import Exchange

LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
COUNTS = ("n", "num_generations")
NESTED = ("generationConfig", "options")
LONGEST = ("maxOutputTokens", "num_predict")
CANDIDATES = "candidateCount"
"""Where formats have the longest answer and the number of answers: OpenAI, Anthropic, Cohere; Responses; below another name, Gemini
and Ollama."""

ANSWERED = frozenset({Operation.CHAT, Operation.COMPLETION})
MOST = 10_000_000
"""More tokens than any model takes or gives: larger numbers in requests are slips."""

LARGE_BODY = 16 * 1024
"""Beyond it a body may hold files: they are looked for."""

LONG_TEXT = 1024
PREFIX = 64


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
    most = times = 0
    for name in LIMITS:
        if name in request and type(value := request[name]) is int and value > most:
            most = value
    for name in COUNTS:
        if name in request and type(value := request[name]) is int and value > times:
            times = value
    for outer in NESTED:
        if outer in request and isinstance(inner := request[outer], dict):
            for name, value in inner.items():
                if type(value) is int and name in LONGEST and value > most:
                    most = value
                elif type(value) is int and name == CANDIDATES and value > times:
                    times = value
    return min(MOST, (most or answer_tokens) * (times or 1))


def _size(request: Json) -> int:
    """The bytes of a request; files count by what they cost."""
    size = 0
    rest: list[Any] = [request]
    while rest:
        value = rest.pop()
        size += 4  # quotes, commas, braces
        if isinstance(value, str):
            size += _text_size(value)
        elif isinstance(value, dict):
            size += sum(map(len, value))
            rest += value.values()
        elif isinstance(value, list):
            rest += value
    return size


def _text_size(text: str) -> int:
    length = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if length > LONG_TEXT:
        if text.startswith("data:image/"):
            return PER_PICTURE
        if text.startswith("data:") or _is_base64(text):
            return max(PER_PICTURE, int(length * PER_BYTE_OF_FILE))
    return length


def _is_base64(text: str) -> bool:
    """Whether a long text is a file rather than words: prose has blanks."""
    return " " not in text[:PREFIX] and "\n" not in text[:PREFIX] and text[:PREFIX].isascii() and " " not in text[-PREFIX:]
