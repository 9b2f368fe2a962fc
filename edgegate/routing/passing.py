"""Paths of vendors' APIs that edgegate does not translate: images, audio, moderations, files, batches and their like.

They are passed through byte for byte, with the caller checked and the gateway's credentials put in, to the provider of the
model that the request names, in JSON, in a form field or in the path. What names none goes to the first provider of the family,
or to the one in `x-edgegate-provider`. (`/<provider>/...` reaches any path of any provider.)
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import orjson

from edgegate.errors import bad_request
from edgegate.wire.document import parse_object
from edgegate.wire.multipart import boundary_of, field_span
from edgegate.wire.splice import splice


class Named(enum.Enum):
    """Where a request names its model."""

    BODY = 1  # in the JSON body or, where it is a form, in the field `model`
    PATH = 2
    NOWHERE = 3


@dataclass(frozen=True, slots=True)
class Passed:
    """family: which vendor's API the path belongs to, as providers' dialects are named."""

    family: str
    named: Named
    model: str = ""


_BODY = (
    "/images/generations",
    "/images/edits",
    "/images/variations",
    "/audio/speech",
    "/audio/transcriptions",
    "/audio/translations",
    "/moderations",
    "/responses/compact",
    "/responses/input_tokens",
    "/videos",
)
_NOWHERE = (
    "/batches",
    "/chat/completions",  # stored ones: /v1/chat/completions/{id}
    "/containers",
    "/conversations",
    "/evals",
    "/files",
    "/fine_tuning",
    "/responses",  # stored ones: /v1/responses/{id}
    "/uploads",
    "/vector_stores",
    "/videos",
)
_GEMINI = ("/files", "/cachedContents", "/batches", "/operations", "/fileSearchStores", "/tunedModels")
_GOOGLES = ("/v1beta", "/upload/v1beta", "/v1", "/upload/v1", "/v1alpha", "/upload/v1alpha")
_COHERE = ("/v1/tokenize", "/v1/detokenize", "/v1/classify")
_ANTHROPIC = ("/v1/messages/batches", "/v1/skills")


def passed(path: str, headers: Mapping[str, str]) -> Passed | None:
    """What a path is, if it is passed through; None for all others. Dot segments are never passed: what they mean is for each
    server to say."""
    if any(segment in (".", "..") for segment in unquote(path).replace("\\", "/").split("/")):
        return None
    if _below(path, _ANTHROPIC) or ("anthropic-version" in headers and _below(path, ("/v1/files",))):
        return Passed("anthropic", Named.NOWHERE)
    if path in _COHERE:
        return Passed("cohere", Named.BODY)
    # google-genai calls /v1 unless told otherwise, where OpenAI's paths are too: its header tells
    for prefix in _GOOGLES if "x-goog-api-key" in headers else _GOOGLES[:2]:
        if path.startswith(prefix + "/"):
            return _gemini(path, path[len(prefix) :])
    rest = path.removeprefix("/v1")
    if rest in _BODY:
        return Passed("openai", Named.BODY)
    return Passed("openai", Named.NOWHERE) if _below(rest, _NOWHERE) else None


def model_of(body: bytes, content_type: str) -> str:
    """The model that a JSON body, or the field `model` of a form, names; "" if none does. Raises a 400 for what is neither."""
    boundary = boundary_of(content_type)
    if boundary is None:
        model = parse_object(body).get("model")
        if model is not None and not isinstance(model, str):
            raise bad_request("expected a string", "model")
        return model or ""
    span = field_span(body, boundary, "model")
    return body[span[0] : span[1]].decode("utf-8", "replace") if span is not None else ""


def rewritten(body: bytes, content_type: str, model: str, without: Collection[str]) -> bytes:
    """The same request for a model of this name ("": as it is), and JSON without the fields that are meant for the gateway."""
    boundary = boundary_of(content_type)
    if boundary is None:
        request = parse_object(body)
        edits: dict[str, bytes | None] = {name: None for name in without if name in request}
        if model and model != request.get("model"):
            edits["model"] = orjson.dumps(model)
        return splice(body, edits, request) if edits else body
    span = field_span(body, boundary, "model") if model else None
    return body if span is None else body[: span[0]] + model.encode() + body[span[1] :]


def _gemini(path: str, rest: str) -> Passed | None:
    model, colon, _ = rest.removeprefix("/models/").rpartition(":")
    if rest.startswith("/models/") and colon and model:
        return Passed("gemini", Named.PATH, unquote(model))
    return Passed("gemini", Named.NOWHERE) if _below(rest, _GEMINI) else None


def _below(path: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a path is one of these or below it."""
    return any(path == prefix or path.startswith(prefix + "/") for prefix in prefixes)
