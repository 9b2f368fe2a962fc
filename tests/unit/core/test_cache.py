"""The exact cache: what is kept, for whom, how long, and what a hit gives back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.access.keys import Key
from edgegate.caching.exact import Entry, ExactCache, cache_key
from edgegate.chain import compose
from edgegate.config.option import Duration, Size
from edgegate.config.stages import CacheOptions
from edgegate.exchange import Exchange, Reply
from edgegate.simulate import start
from edgegate.stages.cache import Cache
from edgegate.taps import Outcome
from tests.unit.core.parts import (
    CHAT,
    MESSAGES,
    STREAM,
    WITH_CACHE,
    Clock,
    Provider,
    chunk,
    completion,
    exchange,
    live,
    providers,
    reply,
    sse,
)

JSON = [(b"content-type", b"application/json"), (b"x-ratelimit-remaining", b"7")]


def entry(body: bytes = b"x", expires: float = 9e9) -> Entry:
    return Entry([], body, "openai.chat", False, expires, "m", "p")


class Kitchen:
    """A chain of a cache and a stage that makes a new answer each time."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.made = 0
        self.status = 200
        self.chain = compose([Cache(CacheOptions(**options), self.clock), self._cook])

    async def _cook(self, ex: Exchange, proceed: Any) -> Reply:
        self.made += 1
        return Reply(self.status, list(JSON), b"answer %d" % self.made, "openai.chat")

    async def ask(self, ex: Exchange, outcome: Outcome = Outcome.OK) -> bytes:
        """The body that a client would get."""
        reply = await self.chain(ex)
        assert isinstance(reply.body, bytes)
        body = reply.body
        for tap in reply.taps:
            body = tap.feed(body) + tap.end(outcome)
        return body


async def test_the_second_of_two_equal_requests_is_answered_from_memory() -> None:
    kitchen = Kitchen()
    first, second = exchange(), exchange()
    assert [await kitchen.ask(first), await kitchen.ask(second)] == [b"answer 1", b"answer 1"]
    assert (first.cache, second.cache, kitchen.made) == ("miss", "hit", 1)


@pytest.mark.parametrize("cut", [Outcome.UPSTREAM_BROKE, Outcome.CLIENT_GONE, Outcome.TIMEOUT, Outcome.DRAINED], ids=lambda o: o.value)
async def test_an_answer_that_did_not_arrive_whole_is_not_kept(cut: Outcome) -> None:
    kitchen = Kitchen()
    await kitchen.ask(exchange(), cut)
    assert await kitchen.ask(exchange()) == b"answer 2"


async def test_an_answer_that_is_no_success_is_not_kept() -> None:
    kitchen = Kitchen()
    kitchen.status = 404
    await kitchen.ask(exchange())
    assert await kitchen.ask(exchange()) == b"answer 2"


async def test_an_answer_is_kept_for_its_time_and_no_longer() -> None:
    kitchen = Kitchen(ttl=Duration(60))
    await kitchen.ask(exchange())
    kitchen.clock.now += 59.9
    assert await kitchen.ask(exchange()) == b"answer 1"
    kitchen.clock.now += 0.1
    assert await kitchen.ask(exchange()) == b"answer 2"


async def test_a_hit_does_not_lengthen_the_time() -> None:
    kitchen = Kitchen(ttl=Duration(10))
    await kitchen.ask(exchange())
    for _ in range(3):
        kitchen.clock.now += 3
        assert await kitchen.ask(exchange()) == b"answer 1"
    kitchen.clock.now += 3
    assert await kitchen.ask(exchange()) == b"answer 2"


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"temperature": 0.0},
        {"seed": 1},
        {"stream": True},
        {"messages": [{"role": "user", "content": "repeat 6"}]},
        {"tools": []},
        {"unknown_field": 1},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_requests_that_differ_share_no_answer(change: dict[str, Any]) -> None:
    kitchen = Kitchen()
    await kitchen.ask(exchange())
    assert await kitchen.ask(exchange(CHAT | change)) == b"answer 2"


@pytest.mark.parametrize("change", [{"user": "u"}, {"metadata": {"a": "b"}}, {"x-budget-key": "k"}], ids=lambda change: next(iter(change)))
async def test_fields_that_do_not_change_an_answer_do_not_divide_it(change: dict[str, Any]) -> None:
    kitchen = Kitchen()
    await kitchen.ask(exchange())
    assert await kitchen.ask(exchange(CHAT | change)) == b"answer 1"


async def test_space_in_the_body_does_not_matter() -> None:
    kitchen = Kitchen()
    await kitchen.ask(exchange(json.dumps(CHAT).encode()))
    assert await kitchen.ask(exchange(json.dumps(CHAT, indent=3).encode())) == b"answer 1"


async def test_another_key_order_costs_a_miss() -> None:
    kitchen = Kitchen()
    await kitchen.ask(exchange())
    assert await kitchen.ask(exchange(dict(reversed(CHAT.items())))) == b"answer 2"


async def test_integers_beyond_64_bits_are_told_apart() -> None:
    """The provider gets the bytes, so it sees two requests."""
    kitchen = Kitchen()
    body = json.dumps(CHAT)[:-1]
    await kitchen.ask(exchange(f'{body}, "x_big": 36893488147419103233}}'.encode()))
    assert await kitchen.ask(exchange(f'{body}, "x_big": 36893488147419103234}}'.encode())) == b"answer 2"


@pytest.mark.parametrize("header", ["anthropic-beta", "openai-beta"])
async def test_headers_that_change_an_answer_divide_the_cache(header: str) -> None:
    """They are passed on to the provider (a beta may change the answer's content and shape)."""
    kitchen = Kitchen()
    await kitchen.ask(exchange())
    assert await kitchen.ask(exchange(headers={header: "interleaved-thinking-2025-05-14"})) == b"answer 2"


# -- who


async def test_tenants_never_share_and_keys_of_one_tenant_do() -> None:
    kitchen = Kitchen()
    keys = [Key("a", tenant="t1"), Key("b", tenant="t1"), Key("c", tenant="t2"), Key("t1"), None]
    answers = []
    for key in keys:
        ex = exchange()
        ex.key = key
        answers.append(await kitchen.ask(ex))
    assert answers == [b"answer 1", b"answer 1", b"answer 2", b"answer 3", b"answer 4"]


async def test_two_keys_without_a_tenant_share_nothing() -> None:
    kitchen = Kitchen()
    for number, name in enumerate(("a", "b"), 1):
        ex = exchange()
        ex.key = Key(name)
        assert await kitchen.ask(ex) == b"answer %d" % number


@given(st.text(max_size=5), st.text(max_size=5))
def test_two_scopes_never_make_one_key(one: str, two: str) -> None:
    assert (cache_key(one, "openai.chat", b"{}", CHAT) == cache_key(two, "openai.chat", b"{}", CHAT)) == (one == two)


async def test_two_formats_share_nothing() -> None:
    kitchen = Kitchen()
    body = MESSAGES
    await kitchen.ask(exchange(body))
    assert await kitchen.ask(exchange(body, path="/v1/messages")) == b"answer 2"


# -- which


@pytest.mark.parametrize(
    ("change", "options", "cached"),
    [
        ({"temperature": 0}, {}, True),
        ({"temperature": 0.0}, {}, True),
        ({"temperature": 0.1}, {}, False),
        ({"temperature": None}, {}, False),
        ({}, {}, False),
        ({}, {"max_temperature": 1.0}, True),
        ({"temperature": 0.7}, {"max_temperature": 0.7}, True),
        ({"temperature": 0.71}, {"max_temperature": 0.7}, False),
    ],
    ids=["0", "0.0", "0.1", "null", "absent", "absent, up to 1", "at the limit", "above it"],
)
async def test_the_temperature_decides(change: dict[str, Any], options: dict[str, Any], cached: bool) -> None:
    kitchen = Kitchen(**options)
    body = {name: value for name, value in CHAT.items() if name != "temperature"} | change
    await kitchen.ask(exchange(body))
    ex = exchange(body)
    await kitchen.ask(ex)
    assert ex.cache == ("hit" if cached else "skip")


async def test_embeddings_have_no_temperature() -> None:
    kitchen = Kitchen()
    body = {"model": "e", "input": "x"}
    await kitchen.ask(exchange(body, path="/v1/embeddings"))
    assert await kitchen.ask(exchange(body, path="/v1/embeddings")) == b"answer 1"


@pytest.mark.parametrize("control", ["no-store", "no-cache", "max-age=0, no-store", "No-Store"])
async def test_cache_control_leaves_the_cache_out(control: str) -> None:
    kitchen = Kitchen()
    await kitchen.ask(exchange())
    ex = exchange(headers={"Cache-Control": control})
    assert await kitchen.ask(ex) == b"answer 2"
    assert ex.cache == "skip"
    assert await kitchen.ask(exchange()) == b"answer 1", "what was kept before stays"


async def test_x_cache_false_leaves_the_cache_out_and_true_does_not() -> None:
    kitchen = Kitchen()
    await kitchen.ask(exchange(CHAT | {"x-cache": False}))
    await kitchen.ask(exchange(CHAT | {"x-cache": False}))
    assert kitchen.made == 2
    await kitchen.ask(exchange())
    assert await kitchen.ask(exchange(CHAT | {"x-cache": True})) == b"answer 3"


async def test_an_answer_larger_than_max_entry_is_not_kept() -> None:
    kitchen = Kitchen(max_entry=Size(8))
    await kitchen.ask(exchange())
    assert await kitchen.ask(exchange()) == b"answer 1", "eight bytes just fit"
    small = Kitchen(max_entry=Size(7))
    await small.ask(exchange())
    assert await small.ask(exchange()) == b"answer 2"


# -- bounds


def test_the_least_recently_used_entry_goes_first() -> None:
    cache = ExactCache(2, 1000)
    cache.put(b"a", entry())
    cache.put(b"b", entry())
    assert cache.get(b"a", 0) is not None
    cache.put(b"c", entry())
    assert [cache.get(key, 0) is not None for key in (b"a", b"b", b"c")] == [True, False, True]


def test_bytes_are_bounded_as_well() -> None:
    cache = ExactCache(100, 10)
    for number in range(5):
        cache.put(b"%d" % number, entry(b"1234"))
    assert len(cache) == 2
    assert cache.bytes == 8


def test_an_entry_larger_than_the_whole_cache_drives_nothing_out() -> None:
    cache = ExactCache(100, 10)
    cache.put(b"a", entry(b"1234"))
    cache.put(b"huge", entry(b"x" * 11))
    assert cache.get(b"huge", 0) is None
    assert cache.get(b"a", 0) is not None


def test_replacing_an_entry_counts_its_bytes_once() -> None:
    cache = ExactCache(100, 100)
    cache.put(b"a", entry(b"1234"))
    cache.put(b"a", entry(b"12"))
    assert (len(cache), cache.bytes) == (1, 2)


@given(st.lists(st.tuples(st.sampled_from("pg"), st.sampled_from(b"abcdef"), st.integers(0, 6), st.integers(0, 20)), max_size=60))
def test_the_count_of_bytes_is_always_the_sum_of_what_is_held(steps: list[tuple[str, int, int, int]]) -> None:
    cache = ExactCache(4, 15)
    for what, key, size, now in steps:
        if what == "p":
            cache.put(bytes([key]), entry(b"x" * size, now + 5))
        else:
            cache.get(bytes([key]), now)
        held = list(cache._entries.values())
        assert cache.bytes == sum(len(one.body) for one in held) <= 15
        assert len(held) <= 4


# -- through the gateway


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("model", ["gpt-4o", "claude-haiku-4-5", "gemini-2.5-flash", "llama3.2"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"], ids=["chat", "messages"])
async def test_a_hit_is_the_miss_byte_for_byte(tmp_path: Path, path: str, model: str, stream: bool) -> None:
    simulator = await start()
    config = {
        "chain": WITH_CACHE,
        "providers": {
            "openai": {"base_url": f"{simulator.url}/v1", "models": ["gpt-4o"], "api_key": "k"},
            "anthropic": {"base_url": simulator.url, "models": ["claude-haiku-4-5"], "api_key": "k"},
            "gemini": {"base_url": simulator.url, "models": ["gemini-2.5-flash"], "api_key": "k"},
            "ollama": {"base_url": simulator.url, "models": ["llama3.2"]},
        },
    }
    body = (CHAT if path.endswith("completions") else MESSAGES) | {"model": model, "stream": stream}
    try:
        async with live(config, tmp_path) as gateway:
            status, first, head = await gateway.post(path, body)
            again, second, hit = await gateway.post(path, body)
    finally:
        await simulator.stop()
    assert (status, again) == (200, 200)
    assert (head["x-edgegate-cache"], hit["x-edgegate-cache"]) == ("miss", "hit")
    assert simulator.traffic.requests == 1
    assert second == first
    media = [value["content-type"].partition(";")[0] for value in (head, hit)]
    assert media == (["text/event-stream"] * 2 if stream else ["application/json"] * 2)


async def test_a_hit_costs_nothing_and_is_logged_as_such(tmp_path: Path) -> None:
    async with Provider() as origin, live({"chain": WITH_CACHE, "providers": providers(origin.url)}, tmp_path) as gateway:
        await gateway.post()
        await gateway.post()
        missed, hit = gateway.lines()
    assert (missed["cache"], missed["attempts"], missed["input_tokens"]) == ("miss", 1, 7)
    assert (hit["cache"], hit["attempts"], hit["status"], hit["outcome"]) == ("hit", 0, 200, "ok")
    assert "cost_usd" not in hit


async def test_a_cut_stream_is_not_served_again(tmp_path: Path) -> None:
    async def cut(seen: Any, writer: Any) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        event = chunk("half")
        writer.write(head + b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()
        writer.close()

    async with Provider(cut, sse(STREAM)) as origin, live({"chain": WITH_CACHE, "providers": providers(origin.url)}, tmp_path) as gateway:
        _, broken, _ = await gateway.post(body=CHAT | {"stream": True})
        _, whole, head = await gateway.post(body=CHAT | {"stream": True})
    assert b"[DONE]" not in broken
    assert b"error" in broken
    assert head["x-edgegate-cache"] == "miss"
    assert b"[DONE]" in whole


async def test_a_key_gets_no_cached_answer_of_a_model_it_may_not_use(tmp_path: Path) -> None:
    """Both keys belong to one tenant and share its answers, but only one of them may use the model."""
    keys = [
        {"name": "all", "key": "gw-all-all-all", "tenant": "t"},
        {"name": "some", "key": "gw-some-some-some", "tenant": "t", "models": ["other"]},
        {"name": "far", "key": "gw-far-far-far", "tenant": "t", "providers": ["two"]},
    ]
    async with Provider() as origin:
        config = {"chain": WITH_CACHE, "keys": keys, "providers": providers(origin.url, origin.url)}
        async with live(config, tmp_path) as gateway:
            first, _, _ = await gateway.post(headers={"x-api-key": "gw-all-all-all"})
            some, _, _ = await gateway.post(headers={"x-api-key": "gw-some-some-some"})
            far, _, _ = await gateway.post(headers={"x-api-key": "gw-far-far-far"})
    assert (first, some, far) == (200, 403, 403)


async def test_an_error_is_not_cached(tmp_path: Path) -> None:
    failed = reply(orjson.dumps({"error": {"message": "no", "type": "server_error"}}), 500)
    async with Provider(failed, reply(completion())) as origin:
        async with live({"chain": WITH_CACHE, "providers": providers(origin.url)}, tmp_path) as gateway:
            assert [(await gateway.post())[0] for _ in range(3)] == [500, 200, 200]
        assert len(origin.seen) == 2
