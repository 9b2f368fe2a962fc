"""Model names: the path they give, and what can be told from them.

Gemini has no request field that says "think harder" for all models: 2.5 takes a token budget, 3 and later take a level (and
a budget for compatibility), older and image or speech models take neither. The name is all there is to go by.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from edgegate.dialects.base import Chat, Json
from edgegate.dialects.losses import Losses
from edgegate.errors import bad_request

_GENERATION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_NEVER_THINKS = ("image", "tts", "live", "audio", "embedding")

_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768}
"""Thinking budgets per reasoning effort, as Google's own OpenAI endpoint sets them (xhigh and max: the most there is)."""

_LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH"}


def path_of(model: str, verb: str) -> str:
    """`/v1beta/models/{model}:{verb}`. `models/x` and `tunedModels/x` are taken as they are. The name may come from a client:
    it fills one path segment, percent-encoded, and can neither climb nor start a query nor choose another verb."""
    kind, slash, name = model.partition("/")
    if not slash:
        kind, name = "models", model
    if kind not in ("models", "tunedModels") or not is_segment(name):
        raise bad_request("expected a Gemini model such as gemini-2.5-flash, models/NAME or tunedModels/NAME", "model")
    return f"/v1beta/{kind}/{segment(name)}:{verb}"


def is_segment(name: str) -> bool:
    return bool(name) and "/" not in name and "\\" not in name and bool(name.strip("."))


def segment(name: str) -> str:
    """One segment of a path, percent-encoded."""
    return quote(name, safe="", errors="replace")


def generation(model: str) -> tuple[int, int]:
    """(major, minor) of a Gemini model: (2, 5), (3, 0). (0, 0) where the name does not say. The moving aliases
    (`gemini-flash-latest`) count as (3, 0): they moved on when Gemini 3 came."""
    found = _GENERATION.search(model)
    if found:
        return int(found[1]), int(found[2] or 0)
    return (3, 0) if model.startswith(("gemini-", "models/gemini-")) and model.endswith("-latest") else (0, 0)


def thinking_of(chat: Chat, model: str, losses: Losses) -> Json | None:
    """`thinkingConfig` for `reasoning_effort` or, in Anthropic's words, `thinking: {type, budget_tokens}`. Where both are
    given they mean the same: a level where the model takes levels, else the budget; Gemini refuses both together. Thoughts
    are asked for wherever thinking is: they become `reasoning_content`."""
    effort, thinking = chat.get("reasoning_effort"), chat.get("thinking") or {}
    if not isinstance(thinking, dict):
        raise bad_request("expected an object", "thinking")
    if effort and (not isinstance(effort, str) or effort not in ("none", *_LEVELS)):
        raise bad_request("expected one of none, minimal, low, medium, high, xhigh, max", "reasoning_effort")
    if not effort and thinking.get("type") == "disabled":
        effort = "none"
    if not effort and not thinking:
        return None
    name = model.rpartition("/")[2]
    version = generation(model)
    if version < (2, 5) or any(word in name for word in _NEVER_THINKS):
        if effort != "none":
            for field in ("reasoning_effort", "thinking"):
                if chat.get(field):
                    losses.drop(field)
        return None
    # an alias may stand for either family: budgets are the form that both take
    levels = version >= (3, 0) and not name.endswith("-latest")
    budget = thinking.get("budget_tokens")
    config: Json = {}
    if isinstance(budget, int) and budget > 0 and effort != "none" and not (levels and effort):
        config["thinkingBudget"] = min(max(budget, _least(name)), _most(name))
        if config["thinkingBudget"] != budget and not losses.near("thinking.budget_tokens"):
            config = {}
    elif effort:
        config = _level(effort, name, version) if levels else _budget(effort, name)
        exact = config in ({"thinkingLevel": effort.upper()}, {"thinkingBudget": 0})
        if not exact and not losses.near("reasoning_effort" if chat.get("reasoning_effort") else "thinking"):
            config = {}
    if effort != "none":
        config["includeThoughts"] = True
    return config or None


def _level(effort: str, name: str, version: tuple[int, int]) -> Json:
    level = _LEVELS.get(effort, "MINIMAL")  # none: thinking cannot be turned off, only down
    if "pro" in name:
        if level == "MINIMAL":
            level = "LOW"
        elif level == "MEDIUM" and version == (3, 0):  # gemini-3-pro knows LOW and HIGH only
            level = "HIGH"
    return {"thinkingLevel": level}


def _budget(effort: str, name: str) -> Json:
    return {"thinkingBudget": _least(name) if effort == "none" else min(_BUDGETS[effort], _most(name))}


def _least(name: str) -> int:
    return 128 if "pro" in name else 0  # 2.5 Pro cannot stop thinking


def _most(name: str) -> int:
    return 32768 if "pro" in name else 24576
