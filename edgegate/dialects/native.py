"""Native requests whose bytes cannot go out as they came, because they hold reasoning that another vendor made.

An app that went on with a conversation elsewhere keeps that vendor's reasoning in the place that its own format has for it: as a
seal (see `sealed`), or as a thinking block without a signature. The vendor of the format would refuse the whole request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from edgegate.dialects.anthropic import foreign as anthropic
from edgegate.dialects.base import Json
from edgegate.dialects.responses import foreign as responses
from edgegate.dialects.sealed import SEAL
from edgegate.wire.document import check_depth


@dataclass(frozen=True, slots=True)
class _Place:
    """Where it may stand, and what cuts it out. `key` is looked for first, in one pass over the bytes: few requests have it."""

    key: bytes
    foreign: re.Pattern[bytes]
    clean: Callable[[Json], Json | None]


_SEALED = SEAL.encode()
_THINKING = _Place(b'"signature"', re.compile(rb'"signature"\s*:\s*"(?:"|%b)' % _SEALED), anthropic.without_foreign)
_REASONING = _Place(b'"encrypted_content"', re.compile(_SEALED), responses.without_foreign)
_PLACES: Mapping[str, _Place] = {
    "anthropic.messages": _THINKING,
    "anthropic.count_tokens": _THINKING,
    "openai.responses": _REASONING,
}
_WHOLE = frozenset({"gemini.generate", "gemini.stream", "gemini.count"})


def must_be_translated(format: str, body: bytes) -> bool:
    """Whether foreign reasoning cannot be cut out, since Gemini's calls need some signature: such a request is written anew, as
    if its format were foreign."""
    return format in _WHOLE and _SEALED in body


def edits_of(format: str, body: bytes, request: Json) -> dict[str, bytes | None]:
    """The edits, as for `splice`, that cut foreign reasoning out of a native request; none for almost all. Raises a 400 for a
    document that is nested too deeply to be written again."""
    place = _PLACES.get(format)
    if place is None or place.key not in body or place.foreign.search(body) is None:
        return {}
    check_depth(request)
    cleaned = place.clean(request)
    if cleaned is None:
        return {}
    return {
        name: orjson.dumps(cleaned[name]) if name in cleaned else None for name, value in request.items() if cleaned.get(name) is not value
    }
