"""The client sides of `:embedContent` and `:batchEmbedContents`. Their neutral form is OpenAI's embeddings request.

One text is one input; a content of other parts (pictures, sound) is a list of content parts, which only Gemini takes. Settings
keep Google's names, but for `outputDimensionality`, which is `dimensions`. Those that differ between the items of a batch stand
in `requests`, in the inputs' order. Vertex puts settings into `embedContentConfig`: both places are read.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Any

import orjson

from edgegate.dialects.base import ClientSide, Json, Operation
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.gemini.check import check_batch, check_embed
from edgegate.dialects.gemini.errors import DIALECT, error_body, error_line
from edgegate.dialects.gemini.fields import a_number, named, objects
from edgegate.dialects.gemini.framing import Events
from edgegate.dialects.gemini.parts import chat_part
from edgegate.errors import GatewayError


class EmbedClient(ClientSide):
    """`:embedContent`."""

    format = "gemini.embed"
    dialect = DIALECT
    model_in_body = False
    operation = Operation.EMBEDDINGS

    def streams(self, request: Json) -> bool:
        return False

    def check(self, request: Json) -> None:
        check_embed(request)

    def neutral(self, request: Json) -> Json:
        item = named(request)
        given = _input(item, "content")
        return _asked([given] if isinstance(given, list) else given, [_settings(item, "")])

    def whole(self, request: Json, reply: bytes) -> bytes:
        values, counts = _read(reply)
        return orjson.dumps({"embedding": values[0], **counts} if values else counts)

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return error_body(error, request_id)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        return Events().item(error_line(error, request_id))


class BatchEmbedClient(EmbedClient):
    """`:batchEmbedContents`."""

    format = "gemini.batch_embed"

    def check(self, request: Json) -> None:
        check_batch(request)

    def neutral(self, request: Json) -> Json:
        items = objects(named(request["requests"]), "requests")
        inputs = [_input(item, f"requests[{at}].content") for at, item in enumerate(items)]
        return _asked(inputs, [_settings(item, f"requests[{at}].") for at, item in enumerate(items)])

    def whole(self, request: Json, reply: bytes) -> bytes:
        values, counts = _read(reply)
        return orjson.dumps({"embeddings": values, **counts})


def _input(item: Json, where: str) -> Any:
    """The text of a content, several texts joined by line ends; or all of its parts."""
    parts = [chat_part(part, f"{where}.parts[{at}]") for at, part in enumerate(objects(item["content"].get("parts"), f"{where}.parts"))]
    if all(part["type"] == "text" for part in parts):
        return "\n".join([part["text"] for part in parts])
    return parts


def _settings(item: Json, where: str) -> Json:
    config = item.pop("embedContentConfig", None)
    found = {**item, **config} if isinstance(config, dict) else item
    found = {name: value for name, value in found.items() if name not in ("content", "model")}
    if "outputDimensionality" in found:
        found["outputDimensionality"] = a_number(found["outputDimensionality"], f"{where}outputDimensionality")
    return found


def _asked(given: Any, settings: list[Json]) -> Json:
    asked: Json = {"input": given, "encoding_format": "float"}
    common = {name: value for name, value in settings[0].items() if all(name in other and other[name] == value for other in settings)}
    if "outputDimensionality" in common:
        asked["dimensions"] = common.pop("outputDimensionality")
    own = [{name: value for name, value in one.items() if name not in common and name != "outputDimensionality"} for one in settings]
    if "dimensions" not in asked:
        for one, all_of_it in zip(own, settings, strict=True):
            one.update((name, all_of_it[name]) for name in ("outputDimensionality",) if name in all_of_it)
    asked.update((name, value) for name, value in common.items() if name not in asked)
    if any(own):
        asked["requests"] = own
    return asked


def _read(reply: bytes) -> tuple[list[Json], Json]:
    """(the embeddings, the usage) of an OpenAI-shaped reply."""
    body = parsed(reply)
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list) or not isinstance(body, dict):
        raise bad_reply("the provider's answer holds no embeddings")
    values = [{"values": _values(item.get("embedding") if isinstance(item, dict) else None)} for item in data]
    usage = body.get("usage")
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return values, {"usageMetadata": {"promptTokenCount": tokens}} if isinstance(tokens, int) and tokens else {}


def _values(vector: Any) -> Any:
    if isinstance(vector, str):  # base64 of float32, from a provider that does not ask what was wanted
        try:
            packed = base64.b64decode(vector, validate=True)
            return list(struct.unpack(f"<{len(packed) // 4}f", packed))
        except (binascii.Error, struct.error):
            raise bad_reply("the provider's answer holds an embedding that cannot be read") from None
    return vector
