"""The shape of Gemini's `GET /v1beta/models` and `GET /v1beta/models/{id}`, for whatever models the gateway serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from edgegate.dialects.base import Json
from edgegate.errors import bad_request

_DEFAULT_SIZE = 50
_MAX_SIZE = 1000


class Model(NamedTuple):
    """One entry. `methods` are Google's names of what it can do."""

    id: str
    display_name: str = ""
    description: str = ""
    methods: tuple[str, ...] = ("generateContent", "countTokens")


def single(model: Model) -> bytes:
    return orjson.dumps(_entry(model))


def page(models: Sequence[Model], *, page_size: str = "", page_token: str = "") -> bytes:
    """One page of the list; the options are the query parameters `pageSize` and `pageToken` as they came. A token is the id of
    the last model of the page before; one that is not (any more) in the list is a 400, as Google's are."""
    size = _DEFAULT_SIZE
    if page_size:
        if not page_size.isascii() or not page_size.isdigit():
            raise bad_request("Invalid value at 'page_size': expected a number", "page_size")
        size = min(int(page_size[:9]), _MAX_SIZE) or _DEFAULT_SIZE
    start = 0
    if page_token:
        ids = [model.id for model in models]
        if page_token not in ids:
            raise bad_request("Page token is not valid.", "page_token")
        start = ids.index(page_token) + 1
    shown = models[start : start + size]
    body: Json = {"models": [_entry(model) for model in shown]}
    if start + size < len(models):
        body["nextPageToken"] = shown[-1].id
    return orjson.dumps(body)


def _entry(model: Model) -> Json:
    entry: Json = {"name": f"models/{model.id}", "version": "001", "displayName": model.display_name or model.id}
    if model.description:
        entry["description"] = model.description
    entry["supportedGenerationMethods"] = list(model.methods)
    return entry
