"""`VertexProvider`: Gemini on Google Cloud (Vertex AI, now "Gemini Enterprise Agent Platform").

The version is `v1beta1`: it is what google-genai speaks by default, what the recordings show, and where fields such as
`parametersJsonSchema`, `responseJsonSchema` and thinking levels came first. Counting tokens has a shape of its own, and so have
embeddings: Vertex' own models answer `:predict`, Gemini's `:embedContent` and `:batchEmbedContents` with their settings in an
`embedContentConfig`, as google-genai 3.4 asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from edgegate.dialects.base import Ask, HeaderList, Json, Progress, WireRequest
from edgegate.dialects.chat import count
from edgegate.dialects.failure import bad_reply
from edgegate.dialects.gemini.counting import vertex_count
from edgegate.dialects.gemini.embeddings import embed_items, embed_reply, vectors_reply
from edgegate.dialects.gemini.flavours import VERTEX
from edgegate.dialects.gemini.names import is_segment, segment
from edgegate.dialects.gemini.prompt import body_of
from edgegate.dialects.gemini.provider import JSON, GeminiProvider, written
from edgegate.dialects.gemini.reading import parse
from edgegate.dialects.losses import Losses
from edgegate.errors import bad_request

_GOOGLES = ("models/", "publishers/google/models/", "google/")
_SETTINGS = ("taskType", "title", "autoTruncate", "documentOcr", "audioTrackExtraction")
_READ = frozenset(("model", "input", "dimensions", "encoding_format", "requests", "outputDimensionality", *_SETTINGS))


class VertexProvider(GeminiProvider):
    """See `GeminiProvider`. `key` of `authorize` is an OAuth access token, which someone else keeps fresh."""

    flavour = VERTEX

    def __init__(self, project: str, location: str) -> None:
        self._home = f"/v1beta1/projects/{segment(project)}/locations/{segment(location)}/publishers/google/models"
        self.native: Mapping[str, str] = {
            "gemini.generate": f"{self._home}/{{model}}:generateContent",
            "gemini.stream": f"{self._home}/{{model}}:streamGenerateContent?alt=sse",
        }

    def authorize(self, key: str) -> HeaderList:
        return [(b"authorization", b"Bearer " + key.encode())]

    def path(self, model: str, verb: str) -> str:
        name = next((model[len(start) :] for start in _GOOGLES if model.startswith(start)), model)
        if not is_segment(name):
            raise bad_request("expected a model of Google's, such as gemini-2.5-flash: models of other publishers are not served", "model")
        return f"{self._home}/{segment(name)}:{verb}"

    def count(self, ask: Ask) -> WireRequest:
        losses = Losses(ask.approximate)
        body = vertex_count(body_of(ask.chat, ask.model, self.flavour, losses))
        return WireRequest(self.path(ask.model, "countTokens"), written(body), [JSON], losses.dropped, losses.mapped)

    def embed(self, request: Json, model: str) -> WireRequest:
        dropped = [name for name, value in request.items() if name not in _READ and value is not None]
        items = list(embed_items(request, (*_SETTINGS, "outputDimensionality")))
        if not _predicts(model):
            requests = [_configured(item) for item in items]
            if isinstance(request["input"], list) and len(requests) > 1:
                path = self.path(model, "batchEmbedContents")
                return WireRequest(path, orjson.dumps({"requests": requests}), [JSON], dropped)
            return WireRequest(self.path(model, "embedContent"), orjson.dumps(requests[0]), [JSON], dropped)
        body: Json = {"instances": [_instance(item, f"input[{at}]") for at, item in enumerate(items)]}
        parameters = {name: items[0][name] for name in ("outputDimensionality", "autoTruncate") if name in items[0]}
        if parameters:
            body["parameters"] = parameters
        dropped += [name for name in ("documentOcr", "audioTrackExtraction") if name in items[0]]
        return WireRequest(self.path(model, "predict"), orjson.dumps(body), [JSON], dropped)

    def embedded(self, request: Json, model: str, body: bytes, progress: Progress) -> bytes:
        reply = parse(body)
        found = reply.get("predictions")
        if not isinstance(found, list):
            return embed_reply(request, model, body, progress)
        made = [item.get("embeddings") if isinstance(item, dict) else None for item in found]
        if not all(isinstance(item, dict) for item in made):
            raise bad_reply("Vertex' reply holds a prediction without embeddings")
        counts = [_tokens(item) for item in made]
        tokens = sum(each or 0 for each in counts) if any(each is not None for each in counts) else None
        return vectors_reply(request, model, [item.get("values") for item in made if item is not None], tokens, progress)


def _predicts(model: str) -> bool:
    """Whether `:predict` is what the model answers: google-genai's rule."""
    name = model.rpartition("/")[2]
    return "gemini" not in name and "maas" not in name


def _configured(item: Json) -> Json:
    content = {"role": "user", **item["content"]}
    config = {name: value for name, value in item.items() if name != "content"}
    return {"content": content, "embedContentConfig": config} if config else {"content": content}


def _instance(item: Json, where: str) -> Json:
    parts = item["content"]["parts"]
    if len(parts) != 1 or "text" not in parts[0]:
        raise bad_request("expected text: this model embeds nothing else", where)
    instance: Json = {"content": parts[0]["text"]}
    for theirs, ours in (("task_type", "taskType"), ("title", "title")):
        if ours in item:
            instance[theirs] = item[ours]
    return instance


def _tokens(item: Any) -> int | None:
    statistics = item.get("statistics")
    return count(statistics.get("token_count")) if isinstance(statistics, dict) and "token_count" in statistics else None
