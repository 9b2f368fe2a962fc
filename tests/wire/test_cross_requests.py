"""Every recorded request of every client format, asked at every provider side.

It becomes a body that the vendor's own types take, or a 400 that names a field; what is lost on the way is named; nothing that
one vendor signed is shown to another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from edgegate.dialects.base import Ask, Chat, Json, Operation, WireRequest
from edgegate.dialects.sealed import SEAL, seal
from edgegate.errors import GatewayError
from tests.corpus import ABSENT
from tests.wire import cross
from tests.wire.cross import ALL, COUNTERS, EMBEDDERS, RERANKERS, TARGETS, Asked, Target, ask_for, asked, bad_base64, chosen, signatures

FEW = 12
"""Targets for each recording, of the thirty or so there are."""

CLIENTS = sorted({given.client.format for given in asked()})

REFUSED = frozenset(("background", "conversation", "previous_response_id", "prompt", "max_tokens", "role", "embedding_types"))
"""What a client side may refuse a recorded request for: what is stored elsewhere, several prompts, forms that one vendor has. The
other refusals are of requests that their own vendor refused, too."""


def neutral_of(given: Asked) -> Json | None:
    """The neutral form; None where the client side refuses, naming a field."""
    try:
        given.client.check(given.request)
        return given.client.neutral(given.request)
    except GatewayError as error:
        refused = error
    assert refused.status == 400
    assert refused.param
    field = refused.param.rpartition(".")[2].partition("[")[0]
    assert given.recording.status >= 400 or field in REFUSED, f"{given.name}: {refused.param} {refused.message}"
    return None


def sent(build: Callable[[], WireRequest]) -> WireRequest | None:
    """None for a 400 that names a field; whatever else is raised fails the test."""
    try:
        return build()
    except GatewayError as error:
        refused = error
    assert refused.status == 400, refused.message
    assert refused.param, refused.message
    return None


def of_format(format: str) -> list[Asked]:
    return [given for given in asked() if given.client.format == format]


chats = pytest.mark.parametrize(
    "format",
    [f for f in CLIENTS if any(g.client.operation in (Operation.CHAT, Operation.COMPLETION) for g in of_format(f))]
    or [pytest.param("", marks=pytest.mark.skip(reason=ABSENT))],
)


@chats
def test_a_chat_is_asked_of_every_provider(format: str) -> None:
    written = 0
    for given in of_format(format):
        chat = neutral_of(given)
        if chat is None:
            continue
        untouched = json.dumps(chat)
        foreign = list(signatures(given.request))
        damaged = bad_base64(given.request)
        for target in chosen(given.name, TARGETS, FEW):
            for approximate in (True, False):
                wire = sent(lambda: target.side.request(ask_for(given, chat, target, approximate=approximate)))  # noqa: B023
                if wire is None:
                    continue
                written += 1
                where = f"{given.name} at {target.name}"
                assert approximate or not wire.mapped, where
                assert len(set(wire.dropped)) == len(wire.dropped), where
                assert SEAL.encode() not in wire.body, where
                for vendor, state in foreign:
                    assert vendor in target.signed or state.encode() not in wire.body, f"{where}: {vendor}'s state"
                if not damaged:
                    takes(target, wire, where)
        assert json.dumps(chat) == untouched, f"{given.name}: the chat was changed"
    assert written > len(of_format(format))


def takes(target: Target, wire: WireRequest, where: str) -> None:
    try:
        target.takes(json.loads(wire.body))
    except Exception as error:
        error.add_note(where)
        raise


# -- losses

EFFORT = ("reasoning_effort", "thinking", "output_config", "think", "reasoning", "include_reasoning", "generationConfig")
"""Names for how much to think. A chat may hold several for one wish, as a client side writes them: they count as one."""

SAYS_NOTHING: Sequence[tuple[str, Any]] = (
    ("n", 1),
    ("store", False),
    ("logprobs", False),
    ("safe_prompt", False),
    ("parallel_tool_calls", True),
    ("tool_choice", "auto"),
    ("tools", []),
    ("service_tier", "auto"),
    ("service_tier", "default"),
    ("response_format", {"type": "text"}),
    ("temperature", 1),
    ("top_p", 1),
    ("max_completion_tokens", 4096),  # what Anthropic's side asks for unasked
    ("thinking", {"clear_thinking": False}),
    ("reasoning_effort", "none"),  # of a model that does not reason anyway
)
"""Fields whose value is what goes without saying."""

FOLLOWS = {"top_logprobs": "logprobs", "tools": "tool_choice", "parallel_tool_calls": "tools", "audio": "modalities"}
"""Fields that mean something only beside another: where that one is named, or says that there is nothing, they are lost with it."""


def says_nothing(name: str, chat: Chat) -> bool:
    value = chat[name]
    if value is None or name.startswith("x-") or any(name == other and value == usual for other, usual in SAYS_NOTHING):
        return True
    return name == "tools" and chat.get("tool_choice") == "none"


def is_named(names: Sequence[str], wire: WireRequest) -> bool:
    words = {word for loss in (*wire.dropped, *wire.mapped) for word in re.split(r"[.\[\]]+", loss)}
    return any(name in words or FOLLOWS.get(name) in words for name in names)


@chats
def test_what_a_chat_loses_is_named(format: str) -> None:
    """A field is carried if the body is another one without it. Otherwise its name must be among the losses."""
    silent: dict[str, list[str]] = {}
    for given in of_format(format):
        chat = neutral_of(given)
        if chat is None:
            continue
        for target in chosen(given.name, TARGETS, FEW // 2):
            wire = sent(lambda: target.side.request(ask_for(given, chat, target)))  # noqa: B023
            if wire is None:
                continue
            for name in chat:
                group = [name] if name not in EFFORT else [word for word in EFFORT if word in chat]
                if name in ("model", "messages", "stream", "stream_options") or all(says_nothing(word, chat) for word in group):
                    continue
                if is_named(group, wire):
                    continue
                rest = {word: value for word, value in chat.items() if word not in group}
                without = sent(lambda: target.side.request(ask_for(given, rest, target)))  # noqa: B023
                if without is not None and without.body == wire.body and without.path == wire.path:
                    silent.setdefault(f"{name} at {target.name}", []).append(given.name)
    assert silent == {}


@chats
def test_what_was_said_is_in_the_body(format: str) -> None:
    """Every text, every argument of a call and every result of a tool, unless its kind is named as lost."""
    for given in of_format(format):
        chat = neutral_of(given)
        if chat is None:
            continue
        said = list(texts(chat["messages"]))
        for target in chosen(given.name + "texts", TARGETS, FEW // 3):
            wire = sent(lambda: target.side.request(ask_for(given, chat, target)))  # noqa: B023
            if wire is None:
                continue
            body = squeezed(leaves(json.loads(wire.body)))
            for text in said:
                assert squeezed([text]) in body or any("content" in name for name in wire.dropped), (
                    f"{given.name} at {target.name}: {text[:80]}"
                )


def texts(messages: list[Json]) -> Iterator[str]:
    for message in messages:
        content = message.get("content")
        for text in [content] if isinstance(content, str) else [p["text"] for p in content or () if p.get("type") == "text"]:
            yield from leaves(text)
        for call in message.get("tool_calls") or ():
            if call.get("type") == "function":
                yield call["function"]["name"]
                yield from leaves(call["function"]["arguments"])


def leaves(value: Any) -> list[str]:
    """All strings, names of fields too, also of JSON in a string: it may be parsed on the way, or written."""
    if isinstance(value, str):
        if value[:1] in "{[" and value:
            try:
                return leaves(json.loads(value))
            except ValueError:
                pass
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in leaves(item)]
    return [text for name, item in value.items() for text in (name, *leaves(item))] if isinstance(value, dict) else []


def squeezed(found: list[str]) -> str:
    """Without blanks, of which some are cut off at the edges."""
    return re.sub(r"\s+", "", "\n".join(found))


# -- embeddings, rerank, counts


def cross_all(operation: Operation, targets: Sequence[Target], build: Callable[[Target, Asked, Json], WireRequest]) -> int:
    written = 0
    for given in cross.of(operation):
        neutral = neutral_of(given)
        if neutral is None:
            continue
        for target in targets:
            wire = sent(lambda: build(target, given, neutral))  # noqa: B023
            if wire is None:
                continue
            written += 1
            takes(target, wire, f"{given.name} at {target.name}")
            for name in neutral:
                if name in _ASKED or neutral[name] is None or is_named([name], wire) or ours(target, name, neutral[name]):
                    continue
                rest = {word: value for word, value in neutral.items() if word != name}
                without = sent(lambda: build(target, given, rest))  # noqa: B023
                assert without is None or (without.body, without.path) != (wire.body, wire.path), f"{given.name} at {target.name}: {name}"
    return written


_ASKED = ("model", "messages", "input", "query", "documents")


def ours(target: Target, name: str, value: Any) -> bool:
    """`encoding_format`: where a vendor has lists only, they are packed here. Cohere must be told a type: this one if no other."""
    return name == "encoding_format" or (name == "input_type" and value == "search_document") or value in ({}, [], False)


absent = pytest.mark.skipif(not asked(), reason=ABSENT)


@absent
def test_embeddings_are_asked_of_every_provider() -> None:
    assert cross_all(Operation.EMBEDDINGS, EMBEDDERS, lambda target, _, neutral: target.side.embed(neutral, target.model)) > 200


@absent
def test_rerank_is_asked_of_every_provider() -> None:
    assert cross_all(Operation.RERANK, RERANKERS, lambda target, _, neutral: target.side.rerank(neutral, target.model)) > 15


@absent
def test_counting_is_asked_of_every_provider() -> None:
    def build(target: Target, given: Asked, chat: Json) -> WireRequest:
        wire: WireRequest = target.side.count(ask_for(given, chat, target))
        return wire

    assert cross_all(Operation.COUNT_TOKENS, COUNTERS, build) > 12


@absent
def test_a_seal_never_reaches_a_provider() -> None:
    """A client that sends back everything it got, to whichever provider is asked next."""
    hidden = {
        "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "S" * 60}],
        "reasoning_details": [{"type": "reasoning.encrypted", "id": "rs_1", "data": "E" * 60, "format": "openai-responses-v1", "index": 0}],
        "extra_content": {"google": {"thought_signature": "R" * 60}},
    }
    owners = {"S": "anthropic", "E": "openai", "R": "google"}
    place = seal(hidden)
    requests: dict[str, Json] = {
        "anthropic.messages": {
            "model": "m",
            "max_tokens": 9,
            "messages": [
                {"role": "user", "content": "a"},
                {
                    "role": "assistant",
                    "content": [{"type": "thinking", "thinking": "t", "signature": place}, {"type": "text", "text": "b"}],
                },
                {"role": "user", "content": "c"},
            ],
        },
        "openai.responses": {
            "model": "m",
            "input": [
                {"role": "user", "content": "a"},
                {"type": "reasoning", "id": "rs_9", "summary": [{"type": "summary_text", "text": "t"}], "encrypted_content": place},
                {"role": "assistant", "content": "b"},
                {"role": "user", "content": "c"},
            ],
        },
        "gemini.generate": {
            "contents": [
                {"role": "user", "parts": [{"text": "a"}]},
                {"role": "model", "parts": [{"text": "b"}, {"text": "", "thoughtSignature": place}]},
                {"role": "user", "parts": [{"text": "c"}]},
            ]
        },
        "openai.chat": {"model": "m", "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", **hidden}]},
    }
    clients = {client.format: client for _, client in cross.CLIENTS}
    for format, request in requests.items():
        given = Asked(asked()[0].recording, clients[format], request)
        given.client.check(request)
        for target in TARGETS:
            body = target.side.request(ask_for(given, given.client.neutral(request), target)).body
            assert SEAL.encode() not in body, f"{format} at {target.name}"
            for letter, vendor in owners.items():
                shown = (letter * 60).encode() in body
                assert not shown or vendor in target.signed, f"{format} at {target.name}: {vendor}'s"
                must = vendor in target.signed and not target.name.startswith(("litellm", "openrouter"))
                assert shown or not must or "3-5-haiku" in target.name, f"{format} at {target.name}: {vendor}'s is missing"


def test_the_whole_product_can_be_asked_for() -> None:
    assert (len(chosen("key", TARGETS, FEW)) == len(TARGETS)) is ALL
    assert chosen("key", TARGETS, FEW) == chosen("key", TARGETS, FEW)


@pytest.mark.parametrize("late", [False, True])
def test_results_follow_their_calls_whatever_stood_between(late: bool) -> None:
    """Responses takes results any time after their calls, Gemini takes a turn of the model in pieces; chats take neither."""
    user: Json = {"role": "user", "content": "hm"}
    first, second = ({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"} for id in "AB")
    answers: list[Json] = [{"type": "function_call_output", "call_id": id, "output": "r"} for id in "AB"]
    items = [user, first, second, answers[0], user, answers[1]] if late else [user, first, second, *answers]
    turns = [("user", {"text": "hm"}), ("model", {"functionCall": {"name": "f", "args": {}, "id": "A"}})]
    turns += [("model", {"functionCall": {"name": "f", "args": {}, "id": "B"}})]
    responses = [{"functionResponse": {"name": "f", "response": {"a": 1}, "id": id}} for id in "AB"]
    contents = [*({"role": role, "parts": [part]} for role, part in turns), {"role": "user", "parts": responses}]
    clients = {client.format: client for _, client in cross.CLIENTS}
    for format, request in (("openai.responses", {"model": "m", "input": items}), ("gemini.generate", {"contents": contents})):
        clients[format].check(request)
        chat = clients[format].neutral(request)
        assert [m.get("tool_call_id") or len(m.get("tool_calls") or ()) for m in chat["messages"]][:4] == [0, 2, "A", "B"]
        for target in TARGETS:
            wire = target.side.request(Ask(chat, target.model, False, "chatcmpl-77", 1, True))
            takes(target, wire, f"{format} at {target.name}")
