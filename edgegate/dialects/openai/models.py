"""The listing of models as `GET /v1/models` gives it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import orjson

from edgegate.dialects.base import Json


class Listed(NamedTuple):
    """A model to list, in no dialect's words. `created` is Unix seconds, 0 where nobody knows."""

    id: str
    owner: str
    created: int = 0


def models_list(models: Iterable[Listed]) -> bytes:
    """The body of `/v1/models`."""
    return orjson.dumps({"object": "list", "data": [_model(model) for model in models]})


def model(listed: Listed) -> bytes:
    """The body of `/v1/models/{id}`."""
    return orjson.dumps(_model(listed))


def _model(listed: Listed) -> Json:
    return {"id": listed.id, "object": "model", "created": listed.created, "owned_by": listed.owner}
