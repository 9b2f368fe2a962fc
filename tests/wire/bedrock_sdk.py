"""What boto3 makes of given bytes: Converse replies as its own parsers read them, requests as its own validation takes them.

No sockets, no credentials: the parsers and the validator are used directly, with the service model that boto3 ships.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import botocore.loaders  # type: ignore[import-untyped]
import botocore.model  # type: ignore[import-untyped]
import botocore.parsers  # type: ignore[import-untyped]
import botocore.validate  # type: ignore[import-untyped]
from botocore.eventstream import EventStream  # type: ignore[import-untyped]

from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.bedrock.provider import BedrockProvider
from edgegate.taps import Outcome, Tap

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
SIDE = BedrockProvider()


@cache
def service() -> botocore.model.ServiceModel:
    return botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime")


def ask_for(chat: dict[str, Any] | None = None, *, model: str = MODEL, stream: bool = False, approximate: bool = True) -> Ask:
    question = {"messages": [{"role": "user", "content": "Why?"}]}
    return Ask(chat or question, model, stream, "chatcmpl-test", 1_700_000_000, True, approximate)


def fed(tap: Tap, pieces: list[bytes], outcome: Outcome = Outcome.OK) -> bytes:
    return b"".join([tap.feed(piece) for piece in pieces]) + tap.end(outcome)


def translated(body: bytes, ask: Ask) -> tuple[bytes, Progress]:
    progress = Progress()
    if not ask.stream:
        return SIDE.whole(ask, body, progress), progress
    tap = SIDE.stream(ask, progress)
    return fed(tap, [body]), progress


@dataclass
class Answer:
    """An answer as an SDK's user sees it."""

    text: str = ""
    reasoning: str = ""
    signatures: list[str] = field(default_factory=list)
    redacted: list[str] = field(default_factory=list)
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    stop: str = ""
    counts: tuple[int, int, int, int] = (0, 0, 0, 0)  # all input, output, read from the cache, written to it


def by_boto(body: bytes, *, stream: bool) -> Answer:
    return _stream(body) if stream else _whole(body)


def _whole(body: bytes) -> Answer:
    parser = botocore.parsers.create_parser("rest-json")
    reply = parser.parse({"status_code": 200, "headers": {}, "body": body}, service().operation_model("Converse").output_shape)
    answer = Answer(stop=reply["stopReason"], counts=_counts(reply["usage"]))
    for block in reply["output"]["message"]["content"]:
        if "text" in block:
            answer.text += block["text"]
        elif "toolUse" in block and block["toolUse"].get("type") != "server_tool_use":
            call = block["toolUse"]
            answer.calls.append((call["toolUseId"], call["name"], call["input"]))
        elif "reasoningContent" in block:
            said = block["reasoningContent"].get("reasoningText", {})
            answer.reasoning += said.get("text", "")
            answer.signatures += [said["signature"]] if "signature" in said else []
            redacted = block["reasoningContent"].get("redactedContent")
            answer.redacted += [redacted.decode()] if redacted else []
    return answer


class _Raw:
    """What botocore's EventStream reads from."""

    def __init__(self, body: bytes) -> None:
        self._file = io.BytesIO(body)

    def stream(self) -> Iterator[bytes]:
        while piece := self._file.read(1024):
            yield piece


def _stream(body: bytes) -> Answer:
    operation = service().operation_model("ConverseStream")
    parser = botocore.parsers.create_parser("rest-json")
    events = EventStream(_Raw(body), operation.output_shape.members["stream"], parser._event_stream_parser, "ConverseStream")
    answer = Answer()
    calls: dict[int, list[str]] = {}
    redacted: dict[int, bytes] = {}
    for event in events:
        if "contentBlockStart" in event and "toolUse" in event["contentBlockStart"]["start"]:
            start = event["contentBlockStart"]["start"]["toolUse"]
            calls[event["contentBlockStart"]["contentBlockIndex"]] = [start["toolUseId"], start["name"], ""]
        elif "contentBlockDelta" in event:
            index, delta = event["contentBlockDelta"]["contentBlockIndex"], event["contentBlockDelta"]["delta"]
            answer.text += delta.get("text", "")
            if "toolUse" in delta:
                calls[index][2] += delta["toolUse"]["input"]
            reasoning = delta.get("reasoningContent", {})
            answer.reasoning += reasoning.get("text", "")
            answer.signatures += [reasoning["signature"]] if "signature" in reasoning else []
            if "redactedContent" in reasoning:
                redacted[index] = redacted.get(index, b"") + reasoning["redactedContent"]
        elif "messageStop" in event:
            answer.stop = event["messageStop"]["stopReason"]
        elif "metadata" in event:
            answer.counts = _counts(event["metadata"]["usage"])
    answer.calls = [(id, name, json.loads(text or "{}")) for id, name, text in calls.values()]
    answer.redacted = [data.decode() for data in redacted.values()]
    return answer


def _counts(usage: dict[str, int]) -> tuple[int, int, int, int]:
    read, written = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
    return (usage["inputTokens"] + read + written, usage["outputTokens"], read, written)


def faults(body: dict[str, Any], operation: str = "Converse") -> str:
    """What boto3's validation, and the patterns that it does not look at, have against a request's body."""
    shape = service().operation_model(operation).input_shape
    members = {**_binary(body, shape), "modelId": MODEL}
    report = botocore.validate.ParamValidator().validate(members, shape)
    return str(report.generate_report()) or "\n".join(_beyond(members, shape, "body"))


def _binary(value: Any, shape: Any) -> Any:
    """The body as boto3 takes it: blobs are bytes."""
    if shape.type_name == "blob":
        return base64.b64decode(value)
    if shape.type_name == "structure" and isinstance(value, dict) and not shape.is_document_type:
        return {name: _binary(inner, shape.members[name]) if name in shape.members else inner for name, inner in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [_binary(inner, shape.member) for inner in value]
    return value


def _beyond(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Enumerations, patterns, upper limits, unions with several members."""
    if shape.type_name == "structure":
        if shape.is_document_type:
            return
        if shape.is_tagged_union and len(value) != 1:
            yield f"{path} has {sorted(value)}, one was expected"
        for name, inner in value.items():
            yield from _beyond(inner, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for at, inner in enumerate(value):
            yield from _beyond(inner, shape.member, f"{path}[{at}]")
    elif shape.type_name == "string":
        if shape.enum and value not in shape.enum:
            yield f"{path}: {value!r} is none of {shape.enum}"
        pattern = shape.metadata.get("pattern")
        if pattern and not path.endswith("modelId") and not re.fullmatch(pattern, value):
            yield f"{path}: {value!r} does not match {pattern}"
        if len(value) > shape.metadata.get("max", len(value)):
            yield f"{path} is too long"
    elif shape.type_name in ("float", "integer") and value > shape.metadata.get("max", value):
        yield f"{path} is too large"
