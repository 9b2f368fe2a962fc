"""What Ollama's clients ask about models: `/api/tags`, `/api/show`, `/api/ps`, `/api/version`. No model here lies on a disk of
ours, so sizes are 0 and a digest stands for nothing but the name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import orjson

from edgegate.dialects.base import Json
from edgegate.dialects.ollama.words import timestamp
from edgegate.errors import GatewayError

VERSION = "0.20.2"
"""The version whose API this is: some clients refuse to talk to one that is too old for tools or thinking."""

_LATEST = ":latest"
_DETAILS: Json = {
    "parent_model": "",
    "format": "gguf",
    "family": "edgegate",
    "families": ["edgegate"],
    "parameter_size": "",
    "quantization_level": "",
}


def plain_name(name: str) -> str:
    """A model's name without the tag that Ollama's clients add where there is none."""
    return name.removesuffix(_LATEST) or name


def tags(models: Iterable[tuple[str, int]]) -> bytes:
    """The list of models, from (name, when created in Unix seconds)."""
    return orjson.dumps({"models": [{**_entry(name), "modified_at": timestamp(created)} for name, created in models]})


def running(models: Iterable[tuple[str, int]], expires: int) -> bytes:
    """`/api/ps`: every model is ready at any time. `expires`: Unix seconds until which to say so."""
    more = {"expires_at": timestamp(expires), "size_vram": 0, "context_length": 0}
    return orjson.dumps({"models": [{**_entry(name), **more} for name, _ in models]})


def show(name: str, created: int, *, context: int = 131_072, capabilities: tuple[str, ...] = ("completion", "tools", "vision")) -> bytes:
    """`/api/show` of one model. `capabilities`: of completion, tools, vision, thinking, insert, embedding."""
    known = {"general.architecture": "edgegate", "general.basename": plain_name(name), "edgegate.context_length": context}
    return orjson.dumps(
        {
            "license": "",
            "modelfile": "",
            "parameters": "",
            "template": "{{ .Prompt }}",
            "details": _DETAILS,
            "model_info": known,
            "capabilities": list(capabilities),
            "modified_at": timestamp(created),
        }
    )


def version() -> bytes:
    return orjson.dumps({"version": VERSION})


def not_found(name: str) -> GatewayError:
    """In Ollama's own words, which clients look for."""
    return GatewayError(404, "model_not_found", f"model '{name}' not found", param="model")


def _entry(name: str) -> Json:
    return {
        "name": name,
        "model": name,
        "size": 0,
        "digest": hashlib.sha256(name.encode("utf-8", "replace")).hexdigest(),
        "details": _DETAILS,
    }
