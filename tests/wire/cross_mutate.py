"""Recorded JSON and streams, changed a little: what other versions of a format, other servers and damaged replies look like."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    "",
    "text",
    "unknown_kind",
    [],
    {},
    [None],
    ["a"],
    [[]],
    [{}],
    {"a": 1},
    {"type": "x"},
)
NEW_PARTS: tuple[Any, ...] = (
    {"type": "hologram", "hologram": {"id": 1}},
    {"hologram": {"id": 1}},
    {"type": "text", "text": "added"},
    "text",
    None,
    7,
    {},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything in a JSON value, the inside of schemas left out."""
    found = [path] if path else []
    if isinstance(value, dict):
        for name, item in value.items():
            if name not in ("parameters", "input_schema", "schema", "properties", "parameters_json_schema"):
                found += places(item, (*path, name))
    elif isinstance(value, list):
        for at, item in enumerate(value[:12]):
            found += places(item, (*path, at))
    return found


def mutated(value: Any, rng: random.Random, *, times: int = 1) -> Any:
    """A copy with `times` changes."""
    value = copy.deepcopy(value)
    for _ in range(times):
        found = places(value)
        if not found:
            return value
        *path, last = rng.choice(found)
        holder = value
        for step in path:
            holder = holder[step]
        change(holder, last, rng)
    return value


def change(holder: Any, last: Any, rng: random.Random) -> None:
    item = holder[last]
    match rng.randrange(9):
        case 0:
            del holder[last]
        case 1:
            holder[last] = None
        case 2:
            holder[last] = copy.deepcopy(rng.choice(ODD))
        case 3:
            holder[last] = [item]
        case 4:
            holder[last] = {"nested": item}
        case 5 if isinstance(item, list):
            rng.shuffle(item)
        case 6 if isinstance(item, list):
            item.insert(rng.randrange(len(item) + 1), copy.deepcopy(rng.choice((*NEW_PARTS, *item[:1]))))
        case 7 if isinstance(item, dict):
            item["hologram"] = {"unknown": [1]}
        case 8 if isinstance(item, str):
            holder[last] = rng.choice(("unknown_kind", item.upper(), item + "x", "\ud7ff"))
        case _:
            holder[last] = json.dumps(item) if not isinstance(item, str) else 7


def framed(events: list[tuple[str, Any]], rng: random.Random | None = None) -> bytes:
    """Server-sent events: (name, JSON or raw text). With `rng` in one of the ways that the specification allows."""
    out = []
    style = rng.randrange(4) if rng else 0
    end = "\r\n" if style == 1 else "\n"
    for name, data in events:
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=style != 2)
        if style == 3:
            out.append(f": a comment{end}{end}")
        out.append(
            (f"event: {name}{end}" if name else "")
            + (f"id: 7{end}" if style == 3 else "")
            + f"data:{'' if style == 2 else ' '}{text}{end}{end}"
        )
    return "".join(out).encode()


def unframed(body: bytes) -> list[tuple[str, Any]]:
    """The events of a recorded stream."""
    found = []
    for block in body.decode().replace("\r\n", "\n").split("\n\n"):
        name, data = "", []
        for line in block.split("\n"):
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].strip())
        if data:
            text = "\n".join(data)
            found.append((name, text if text == "[DONE]" else json.loads(text)))
    return found


def shuffled(events: list[tuple[str, Any]], rng: random.Random) -> list[tuple[str, Any]]:
    """Events dropped, doubled, moved, of unknown types, or changed inside."""
    events = list(events)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(events)) if events else 0
        match rng.randrange(6):
            case 0 if events:
                del events[at]
            case 1 if events:
                events.insert(at, events[at])
            case 2 if events:
                events.insert(rng.randrange(len(events)), events.pop(at))
            case 3:
                events.insert(at, ("hologram.delta", {"type": "hologram.delta", "hologram": [1]}))
            case _ if events and not isinstance(events[at][1], str):
                events[at] = (events[at][0], mutated(events[at][1], rng))
    return events
