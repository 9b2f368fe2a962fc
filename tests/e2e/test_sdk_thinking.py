"""Thinking over several turns with tools: what a vendor signed of its reasoning comes back to it whole, through clients that know
only another vendor's words for it; and a conversation may change its provider in the middle."""

from __future__ import annotations

import itertools
import json
from typing import Any

import orjson
import pytest
from aiohttp import web

from edgegate.dialects.sealed import SEAL
from edgegate.simulate import Running
from edgegate.simulate.main import Simulator
from tests.e2e.gateway import Gateway
from tests.e2e.matrix.pairs import PROVIDERS, SPEAKERS
from tests.e2e.matrix.speaking import Said, Speaker, Tool

WEATHER = Tool("get_weather", {"city": {"type": "string"}})
CLIENTS = ("anthropic", "gemini", "openai-responses")
THINKERS = ("anthropic", "gemini-3", "openai-responses")
SAID = Said(think=True, tools=(WEATHER,))
SWITCHES = (
    ("anthropic", "gemini-3", "anthropic"),
    ("gemini-3", "openai-responses", "gemini-3"),
    ("openai-responses", "anthropic", "openai-responses"),
    ("anthropic", "openai-responses", "gemini-3"),
    ("gemini-3", "ollama", "gemini-3"),
    ("mistral", "cohere", "anthropic"),
)


@pytest.fixture(params=CLIENTS)
def speaker(request: pytest.FixtureRequest, every: Gateway) -> Speaker:
    return SPEAKERS[request.param](every.url)


@pytest.fixture(params=[False, True], ids=["plain", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, simulator: Running) -> list[Any]:
    """The bodies that the simulated providers were sent."""
    bodies: list[Any] = []
    answer = Simulator._answer

    async def noting(self: Simulator, request: web.Request, vendor: Any, endpoint: Any) -> web.StreamResponse:
        bodies.append(orjson.loads(await request.read()))
        return await answer(self, request, vendor, endpoint)

    monkeypatch.setattr(Simulator, "_answer", noting)
    return bodies


def signed(provider: str, body: Any) -> list[str]:
    """What a request gives back of the vendor's own reasoning."""
    if provider == "anthropic":
        blocks = [block for message in body["messages"] if isinstance(message["content"], list) for block in message["content"]]
        return [block["signature"] for block in blocks if block["type"] == "thinking"]
    if provider == "gemini-3":
        return [part["thoughtSignature"] for turn in body["contents"] for part in turn["parts"] if "thoughtSignature" in part]
    return [item["encrypted_content"] for item in body["input"] if item.get("type") == "reasoning"]


def converse(speaker: Speaker, providers: tuple[str, ...], stream: bool) -> None:
    """A question, a call, its result, an answer: once with each provider, in one conversation."""
    turns: list[Any] = []
    for number, provider in enumerate(providers):
        model = f"{provider}/{PROVIDERS[provider].thinks}"
        turns.append(speaker.user("Call get_weather."))
        called = speaker.ask(model, turns, SAID, stream)
        assert called.calls == [("get_weather", {"city": "city"})], provider
        assert called.thinking.startswith("The user said"), provider
        turns += [*called.turn, *speaker.results(called, [f"{number} degrees"])]
        answered = speaker.ask(model, turns, SAID, stream)
        assert f"{number} degrees" in answered.text, provider
        turns += answered.turn


@pytest.mark.parametrize("provider", THINKERS)
def test_three_turns_with_one_vendor(speaker: Speaker, provider: str, stream: bool, seen: list[Any]) -> None:
    converse(speaker, (provider,) * 3, stream)
    assert len(seen) == 6
    given = [signed(provider, body) for body in seen]
    assert [len(states) for states in given] == [0, 1, 2, 3, 4, 5], "each turn thought, and all of it came back"
    for before, after in itertools.pairwise(given):
        assert after[: len(before)] == before, "unchanged, and in order"
    assert SEAL not in json.dumps(seen), "no vendor is sent a seal"


@pytest.mark.parametrize("providers", SWITCHES, ids=["-".join(names) for names in SWITCHES])
def test_the_provider_changes_in_the_middle(speaker: Speaker, providers: tuple[str, ...], stream: bool, seen: list[Any]) -> None:
    """The simulator refuses what another vendor signed, so nothing of it is sent."""
    converse(speaker, providers, stream)
    assert SEAL not in json.dumps(seen), "no vendor is sent a seal"


@pytest.mark.parametrize("first", THINKERS)
def test_who_comes_back_gets_its_own_reasoning_back(speaker: Speaker, first: str, stream: bool, seen: list[Any]) -> None:
    other = THINKERS[THINKERS.index(first) - 1]
    converse(speaker, (first, other, first), stream)
    assert len(signed(first, seen[-1])) >= 3, "two of the first turn and one of the third"


def test_claude_knows_its_own_reasoning_wherever_it_runs(speaker: Speaker, stream: bool, seen: list[Any]) -> None:
    converse(speaker, ("bedrock", "anthropic", "bedrock"), stream)
    assert len(signed("anthropic", seen[3])) == 3, "two of Bedrock's and its own"
