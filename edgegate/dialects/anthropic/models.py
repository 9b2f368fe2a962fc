"""The shape of Anthropic's `GET /v1/models` and `GET /v1/models/{id}`, for whatever models the gateway serves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from edgegate.dialects.base import Json
from edgegate.errors import bad_request

_DEFAULT_LIMIT = 20
_MAX_LIMIT = 1000


class Model(NamedTuple):
    """One entry. `created` in Unix seconds, 0 where it is not known (the API's own convention)."""

    id: str
    created: int = 0
    display_name: str = ""


def single(model: Model) -> bytes:
    return orjson.dumps(_entry(model))


def page(models: Sequence[Model], *, limit: str = "", after_id: str = "", before_id: str = "") -> bytes:
    """One page of the list; the options are query parameters as they came. `after_id` goes on from a page's `last_id`,
    `before_id` goes back from its `first_id`. An id that is not (any more) in the list gives the first page."""
    size = _DEFAULT_LIMIT
    if limit:
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= _MAX_LIMIT:
            raise bad_request(f"expected a number from 1 to {_MAX_LIMIT}", "limit")
        size = int(limit)
    ids = [model.id for model in models]
    if before_id in ids:
        end = ids.index(before_id)
        start = max(0, end - size)
        more = start > 0
    else:
        start = ids.index(after_id) + 1 if after_id in ids else 0
        end = start + size
        more = end < len(models)
    shown = models[start:end]
    body: Json = {
        "data": [_entry(model) for model in shown],
        "has_more": more,
        "first_id": shown[0].id if shown else None,
        "last_id": shown[-1].id if shown else None,
    }
    return orjson.dumps(body)


def _entry(model: Model) -> Json:
    created = datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": model.id, "display_name": model.display_name or model.id, "created_at": created, "lifecycle": "active"}
