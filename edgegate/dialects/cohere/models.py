"""The shape of Cohere's `GET /v1/models` and `GET /v1/models/{name}`, for whatever models the gateway serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from edgegate.dialects.base import Json
from edgegate.errors import bad_request

_DEFAULT_SIZE = 20
_MAX_SIZE = 1000


class Model(NamedTuple):
    """One entry. `endpoints` are Cohere's names for what a model is for: `chat`, `embed`, `rerank`, ...; `context_length` is 0 where it
    is not known."""

    name: str
    endpoints: tuple[str, ...] = ("chat",)
    context_length: int = 0


def single(model: Model) -> bytes:
    return orjson.dumps(_entry(model))


def page(models: Sequence[Model], *, page_size: str = "", page_token: str = "", endpoint: str = "") -> bytes:
    """One page of the list; the options are query parameters as they came. A page's `next_page_token` is the name of its last
    model; a name that is not (any more) in the list gives the first page."""
    size = _DEFAULT_SIZE
    if page_size:
        if not page_size.isascii() or not page_size.isdigit() or not 1 <= int(page_size[:9]) <= _MAX_SIZE:
            raise bad_request(f"invalid request: page_size must be a number from 1 to {_MAX_SIZE}", "page_size")
        size = int(page_size)
    listed = [model for model in models if not endpoint or endpoint in model.endpoints]
    names = [model.name for model in listed]
    start = names.index(page_token) + 1 if page_token in names else 0
    shown = listed[start : start + size]
    body: Json = {"models": [_entry(model) for model in shown]}
    if start + size < len(listed):
        body["next_page_token"] = shown[-1].name
    return orjson.dumps(body)


def _entry(model: Model) -> Json:
    entry: Json = {"name": model.name, "endpoints": list(model.endpoints), "finetuned": False}
    if model.context_length:
        entry["context_length"] = model.context_length
    entry["tokenizer_url"] = ""
    entry["default_endpoints"] = []
    return entry
