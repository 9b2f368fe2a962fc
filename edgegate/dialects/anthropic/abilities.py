"""What a Claude model takes, read off its name: needed where an OpenAI field can be written in more than one way.

Only models before the named versions differ; a name without a version counts as the newest. Models of other makers behind
an Anthropic-shaped API (GLM, Kimi, MiniMax) get the forms that have been there longest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")


@dataclass(frozen=True, slots=True)
class Abilities:
    """thinking: whether the model reasons on request. adaptive: it takes `output_config.effort` and `thinking: adaptive`,
    otherwise a token budget. sampling: it takes temperature, top_p and top_k; `top_p_too`: top_p beside temperature.
    schema: it takes `output_config.format` and strict tools. prefill: it goes on writing an assistant message that the request
    ends with; newer models answer 400 "does not support assistant message prefill"."""

    thinking: bool
    adaptive: bool
    sampling: bool
    top_p_too: bool
    schema: bool
    prefill: bool = False


_FOREIGN = Abilities(thinking=True, adaptive=False, sampling=True, top_p_too=True, schema=True)


def abilities_of(model: str) -> Abilities:
    if "claude" not in model:
        return _FOREIGN
    found = _VERSION.search(model)
    version = (int(found[1]), int(found[2] or 0)) if found else (99, 0)
    return Abilities(
        thinking=version >= (3, 7),
        adaptive=version >= (4, 6),
        sampling=version < (4, 7),
        top_p_too=version < (4, 1),
        schema=version >= (4, 1),
        prefill=version < (4, 6),
    )
