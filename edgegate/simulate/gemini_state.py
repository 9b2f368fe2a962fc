"""Gemini's thought signatures: given with calls and answers of models that think, and checked when they come back.

Models of generation 3 want the signature of each step's first call in the turn that is under way; the two dummies of the vendor's
documentation pass in the place of one.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from edgegate.simulate.gemini_fields import field
from edgegate.simulate.seal import allows_foreign, carried, carry
from edgegate.simulate.vendor import Asked, Json, need

_VENDOR = "gemini"
_DUMMIES = ("context_engineering_is_the_way_to_go", "skip_thought_signature_validator")
_ENCODED = tuple(base64.b64encode(dummy.encode()).decode().rstrip("=") for dummy in _DUMMIES)


def of_call(name: str, arguments: Any) -> str:
    return carry(_VENDOR, _canonical(name, arguments))


def of_answer(name: str) -> str:
    """The signature of the answer with this id."""
    return carry(_VENDOR, f"answer {name}")


def wants_signatures(model: str) -> bool:
    return "gemini-3" in model


def check(contents: list[Any], asked: Asked) -> None:
    """Refuses altered signatures, and missing ones where the model wants them."""
    start = max((at for at, content in enumerate(contents) if _is_question(content)), default=0)
    for at, content in enumerate(contents):
        first = True
        for position, part in enumerate(content.get("parts") or []):
            call = field(part, "functionCall")
            given = field(part, "thoughtSignature")
            if given is not None:
                _check_one(given, call, asked)
            elif isinstance(call, dict) and first and at > start and wants_signatures(asked.model) and not allows_foreign(asked.headers):
                need(
                    False,
                    "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and "
                    "missing thought_signature may lead to degraded model performance. Additional data, function call "
                    f"`default_api:{call.get('name')}` , position {position + 1}. "
                    "Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details.",
                )
            first = first and not isinstance(call, dict)


def _check_one(given: Any, call: Any, asked: Asked) -> None:
    if str(given) in _DUMMIES or str(given).rstrip("=").replace("-", "+").replace("_", "/") in _ENCODED:
        return
    text = carried(_VENDOR, given, asked.headers)
    need(text is not None, "Corrupted thought signature.")
    if isinstance(call, dict) and text:
        need(text == _canonical(str(call.get("name")), call.get("args") or {}), "Thought signature is not valid.")


def _is_question(content: Json) -> bool:
    return content.get("role") != "model" and not any(field(part, "functionResponse") for part in content.get("parts") or [])


def _canonical(name: str, arguments: Any) -> str:
    return f"call {name} {json.dumps(arguments, sort_keys=True)}"
