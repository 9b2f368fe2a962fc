"""What the events of a response stream say about `Progress`; shared by the tap that translates and the one that watches."""

from __future__ import annotations

import re
from typing import Any

from edgegate.dialects.base import Json, Progress
from edgegate.dialects.chat import tier_of
from edgegate.dialects.responses.faults import response_failure
from edgegate.dialects.responses.output import text_of
from edgegate.dialects.responses.usage import read_usage
from edgegate.dialects.spoilt import leave_out, readable
from edgegate.errors import GatewayError
from edgegate.wire.sse import Event

PINGS = frozenset(("keepalive", "ping", "response.keepalive", "response.ping"))
"""Events that only keep the connection open. OpenAI documents none, but sends them while a model thinks."""

ENDS = frozenset(("response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done"))
"""Events that hold the response as it ended. The last one is a name that imitators have."""

_SILENT = frozenset(("message", "reasoning"))


_ECHOES = frozenset(f"response.{name}".encode() for name in ("created", "queued", "in_progress"))
"""Events that hold what was asked for, texts of the request among it, and nothing of the answer."""

_REPEATS = frozenset(
    f"response.{name}".encode()
    for name in (
        "output_text.done",
        "refusal.done",
        "content_part.done",
        "reasoning_text.done",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
    )
)
"""Events that say once more what pieces have said, and that the item's and the response's own events say again. Not among them are
those of calls, which not every vendor sends in pieces; nor `output_item.done` and what ends the response: clients live on these."""

_KIND = re.compile(rb'"type"\s*+:\s*+"(response\.[a-z_.]+)"')


def document(event: Event, progress: Progress) -> Json | None:
    """The JSON object of an event, None for a spoilt one: see `spoilt.leave_out`."""
    value = readable(event.data)
    if type(value) is dict:
        return value
    leave_out(event.data, progress, repeats=progress.finished or _only_repeats(event, progress.started))
    return None


def _only_repeats(event: Event, started: bool) -> bool:
    """Whether a spoilt event may be left out although it holds text, by its name and what can be seen of its type. Where two were
    run together, all that is seen counts."""
    kinds = {*_KIND.findall(event.data)} | ({event.name} if event.name else set())
    return bool(kinds) and kinds <= (_ECHOES | _REPEATS if started else _ECHOES) and b'"delta"' not in event.data


def kind_of_event(value: Json, event: Event) -> str:
    """The type stands inside; where it does not, the event's name does. An object with an error and no type is an error."""
    kind = value.get("type")
    if isinstance(kind, str) and kind:
        return kind
    return event.name.decode("ascii", "replace") or ("error" if value.get("error") else "")


def means_something(kind: str, value: Json) -> bool:
    """Whether an answer that had not started has with this event: a piece of text, reasoning or a call; the vendor's own tool
    at work; an item that is finished. An item of text or reasoning that only begins is nothing yet."""
    if kind.endswith(".delta"):
        return bool(value.get("delta"))
    if kind == "response.output_item.added":
        item = value.get("item")
        return isinstance(item, dict) and isinstance(item.get("type"), str) and item["type"] not in _SILENT
    if kind == "response.content_part.done":
        return any(text_of(value.get("part")))
    if kind.endswith(("text.done", "refusal.done")):
        return bool(value.get("text") or value.get("refusal"))
    return kind == "response.output_item.done"


def note_response(response: Any, progress: Progress) -> Json:
    """Takes model and usage out of the response object of an event."""
    if not isinstance(response, dict):
        return {}
    model = response.get("model")
    if isinstance(model, str) and model:
        progress.model = model
    read_usage(response.get("usage"), progress.usage)
    progress.usage.tier = tier_of(response.get("service_tier"))
    return response


def ended(value: Json) -> tuple[Json, GatewayError | None]:
    """The response that an event of `ENDS` brings, and its error if it is no answer. The event's own name counts where the
    response does not say how it ended."""
    given = value.get("response")
    response: Json = dict(given) if isinstance(given, dict) else {}
    status = str(value.get("type")).removeprefix("response.")
    if status in ("incomplete", "failed", "cancelled"):
        response["status"] = status
    return response, response_failure(response)


def output_of(response: Json) -> list[Json]:
    """The items of a response that ended. Some imitators leave them out of the last event."""
    output = response.get("output")
    return [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []
