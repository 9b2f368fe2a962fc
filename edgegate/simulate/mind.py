"""What the simulated model "thinks": a question in neutral words -> an answer in neutral words. Pure and deterministic.

A token is a word, here and in every usage number, so `max_tokens` and usage can be checked by counting.
The prompt (the last user message) steers the answer:

- `repeat N`: N words, for load.
- `report`: a JSON object with what was understood of the request: system text, roles, images, tools, parameters. Neither stop
  sequences (they stand in it) nor the limit cut it.
- the name of a tool that was given: a call of it, arguments made from its schema; with the word `parallel`, calls of every
  tool named (two of it, if only one is named). A tool result as the last message gets a text answer.
- `search` in it, where the vendor was given its own web search: a search, and a citation of what it found.
- anything else: a text that says it is simulated and echoes the prompt, shortened, with what its images are.

A model whose name has `think` in it thinks without being asked.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from edgegate.simulate.schema import instance

CREATED = 1735689600
"""Every simulated answer was made at this Unix time, 2025-01-01: answers are the same on every run."""

NOTICE = "[simulated] No provider key is set, so this is a simulated answer."
MAX_REPEAT = 100_000
_WORDS = ("lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "adipiscing", "elit")
_REPEAT = re.compile(r"^\s*repeat (\d+)\s*$", re.IGNORECASE)


@dataclass(slots=True)
class Tool:
    name: str
    schema: Any


@dataclass(slots=True)
class Question:
    """A request, understood. `choice` is "auto", "none", "any" or the name of the tool that must be called."""

    model: str
    system: str = ""
    roles: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    prompt: str = ""
    results: list[str] = field(default_factory=list)  # tool results after the last assistant turn
    images: int = 0
    media: list[str] = field(default_factory=list)  # what the images of the prompt are: see media.py
    tools: list[Tool] = field(default_factory=list)
    choice: str = "auto"
    parallel: bool = True
    json_mode: bool = False
    schema: Any = None
    think: bool = False
    max_tokens: int | None = None
    stop: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)  # shown by `report`
    seed: bytes = b""  # what ids are derived from: the request's bytes
    web_search: bool = False  # the vendor may search the web: it does so when the prompt says "search"

    @property
    def thinks(self) -> bool:
        """Asked to, or a model that cannot help it."""
        return self.think or "think" in self.model.lower()

    @property
    def searches(self) -> bool:
        return self.web_search and "search" in self.prompt.lower()

    def see(self, media: list[str]) -> None:
        """Takes in the images of the prompt."""
        self.images, self.media = len(media), media


@dataclass(slots=True)
class Call:
    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(slots=True)
class Answer:
    """finish is "stop", "length" or "calls"; `stopped_by` is the stop sequence that ended the text."""

    thinking: list[str]
    pieces: list[str]
    calls: list[Call]
    finish: str
    stopped_by: str | None
    input_tokens: int
    output_tokens: int  # includes reasoning_tokens
    reasoning_tokens: int
    id: str

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def answer(question: Question, number: int = 0) -> Answer:
    """The answer, or its variant `number` when several were asked for (`n`)."""
    thinking = pieces(f"The user said {_short(question.prompt)!r}. A simulated model need not think for long.") if question.thinks else []
    calls = _calls(question, number)
    reporting = question.prompt.strip().lower() == "report"
    text, stopped_by = ("", None) if calls else _until(_text(question, number), [] if reporting else question.stop)
    words = pieces(text)
    finish = "calls" if calls else "stop"
    limit = question.max_tokens
    if limit is not None and not reporting and len(thinking) + len(words) > limit:
        thinking = thinking[:limit]
        words = words[: limit - len(thinking)]
        finish, stopped_by = "length", None
    written = len(words) + sum(count(json.dumps(call.arguments)) + 1 for call in calls)
    return Answer(
        thinking=thinking,
        pieces=words,
        calls=calls,
        finish=finish,
        stopped_by=stopped_by,
        input_tokens=input_tokens(question),
        output_tokens=len(thinking) + written,
        reasoning_tokens=len(thinking),
        id=hashlib.sha256(question.seed).hexdigest()[:24],
    )


def input_tokens(question: Question) -> int:
    """Words of everything that was sent, three more for each message, ten for each tool, 85 for each image."""
    words = count(question.system) + sum(map(count, question.texts))
    return words + 3 * len(question.roles) + 10 * len(question.tools) + 85 * question.images


def pieces(text: str) -> list[str]:
    """The text's tokens: words, each with the white space after it. Joined they are the text."""
    return re.findall(r"\s*\S+\s*|\s+", text)


def count(text: str) -> int:
    return len(text.split())


def portions(text: str, size: int = 8) -> list[str]:
    """The text in pieces of `size` characters, as tool arguments are streamed."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def embedding(text: str, dimensions: int) -> list[float]:
    """A unit vector: words hashed to places, so texts that share words are near each other."""
    values = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()) or [text]:
        digest = hashlib.sha256(word.encode("utf-8", "replace")).digest()
        for at in range(0, 24, 4):
            place = int.from_bytes(digest[at : at + 3], "big") % dimensions
            values[place] += 1.0 if digest[at + 3] & 1 else -1.0
    length = sum(value * value for value in values) ** 0.5 or 1.0
    return [round(value / length, 8) for value in values]


def _text(question: Question, number: int) -> str:
    repeat = _REPEAT.match(question.prompt)
    if repeat:
        return " ".join(_WORDS[at % len(_WORDS)] for at in range(min(int(repeat.group(1)), MAX_REPEAT)))
    if question.prompt.strip().lower() == "report":
        return json.dumps(_report(question), ensure_ascii=False, sort_keys=True)
    if question.schema is not None:
        return json.dumps(instance(question.schema), ensure_ascii=False)
    if question.json_mode:
        return json.dumps({"simulated": True, "said": _short(question.prompt)}, ensure_ascii=False)
    said = (
        f"{NOTICE} The tool answered: {_short(' '.join(question.results))}"
        if question.results
        else f"{NOTICE} You said: {_short(question.prompt)}"
    )
    if question.images:
        shown = f": {'; '.join(question.media)}" if question.media else ""
        said += f" (with {question.images} image{'s' if question.images > 1 else ''}{shown})"
    return f"{said} (choice {number + 1})" if number else said


def _report(question: Question) -> dict[str, Any]:
    report: dict[str, Any] = {
        "model": question.model,
        "system": question.system,
        "roles": question.roles,
        "texts": question.texts,
        "images": question.images,
        "media": question.media,
        "tools": [tool.name for tool in question.tools],
        "tool_choice": question.choice,
        "max_tokens": question.max_tokens,
        "stop": question.stop,
        "think": question.think,
    }
    return report | question.settings


def _calls(question: Question, number: int) -> list[Call]:
    if not question.tools or question.choice == "none" or question.results:
        return []
    by_name = [tool for tool in question.tools if tool.name == question.choice]
    if not by_name:
        by_name = [tool for tool in question.tools if tool.name and re.search(rf"\b{re.escape(tool.name)}\b", question.prompt)]
        if not by_name and question.choice == "any":
            by_name = question.tools[:1]
    if not by_name:
        return []
    if not question.parallel or "parallel" not in question.prompt.lower():
        by_name = by_name[:1]
    elif len(by_name) == 1:
        by_name = by_name * 2
    calls = []
    for at, tool in enumerate(by_name):
        made = instance(tool.schema) if isinstance(tool.schema, dict) else {}
        digest = hashlib.sha256(question.seed + bytes([number % 256, at % 256])).hexdigest()
        calls.append(Call(digest[:24], tool.name, made if isinstance(made, dict) else {}))
    return calls


def _until(text: str, stops: list[str]) -> tuple[str, str | None]:
    found = [(at, stop) for stop in stops if stop and (at := text.find(stop)) >= 0]
    if not found:
        return text, None
    at, stop = min(found)
    return text[:at], stop


def _short(text: str, longest: int = 200) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
