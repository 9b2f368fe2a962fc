"""What is lost on the way to a provider of another dialect: named, refused, or never attempted, as the operator or the caller says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.core.parts import CHAIN, CHAT, Provider, live, reply

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-3-5-haiku-20241022",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 7, "output_tokens": 3},
}
LOSSY = CHAT | {"model": "claude-3-5-haiku-20241022", "seed": 7, "logit_bias": {"1": 1}, "temperature": 1.5}
KEY = "key-of-the-caller"


async def sent(tmp_path: Path, *, headers: dict[str, str] | None = None, **config: Any) -> tuple[list[Any], int, Any, Any, Any]:
    """What the provider got; status, headers and body of the reply; the line in the log."""
    async with Provider(reply(json.dumps(MESSAGE).encode())) as origin:
        provider = {"base_url": origin.url, "api_key": "provider-secret"} | config.pop("provider", {})
        async with live({"providers": {"anthropic": provider}} | config, tmp_path) as gateway:
            status, body, head = await gateway.post(body=LOSSY, headers=headers)
            assert not gateway.faults()
            return [seen.json for seen in origin.seen], status, head, json.loads(body), gateway.lines()[-1]


async def test_losses_and_approximations_are_named_in_headers_and_in_the_log(tmp_path: Path) -> None:
    (asked,), status, head, _, line = await sent(tmp_path)
    assert status == 200
    assert asked["temperature"] == 1
    assert set(head["x-edgegate-dropped"].split(",")) == set(line["dropped"]) == {"seed", "logit_bias"}
    assert head["x-edgegate-mapped"] == "temperature"
    assert line["mapped"] == ["temperature"]


async def test_without_approximations_the_field_is_left_out_and_named(tmp_path: Path) -> None:
    (asked,), status, head, _, line = await sent(tmp_path, provider={"loss": "drop"})
    assert status == 200
    assert "temperature" not in asked
    assert set(head["x-edgegate-dropped"].split(",")) == {"seed", "logit_bias", "temperature"}
    assert "mapped" not in line


@pytest.mark.parametrize(
    "strictness",
    [
        {"provider": {"loss": "reject"}},
        {"headers": {"x-edgegate-strict": "true"}},
        {"chain": [*CHAIN[:3], {"translate": {"strict": True}}, *CHAIN[4:]]},
        {"keys": [{"name": "k", "key": KEY, "strict": True}], "headers": {"authorization": f"Bearer {KEY}"}},
    ],
    ids=["provider", "header", "stage", "key"],
)
async def test_where_nothing_may_be_lost_the_request_is_refused_by_the_names_of_its_fields(
    tmp_path: Path, strictness: dict[str, Any]
) -> None:
    asked, status, head, body, line = await sent(tmp_path, **strictness)
    assert (asked, status, head["x-edgegate-error-source"]) == ([], 400, "client")
    assert body["error"]["code"] == "unsupported_fields"
    assert "seed" in body["error"]["message"]
    assert "logit_bias" in body["error"]["message"]
    assert line["outcome"] == "rejected"


async def test_a_caller_may_allow_losses_that_the_stage_forbids(tmp_path: Path) -> None:
    strict = [*CHAIN[:3], {"translate": {"strict": True}}, *CHAIN[4:]]
    _, status, head, _, _ = await sent(tmp_path, chain=strict, headers={"x-edgegate-strict": "false"})
    assert (status, "seed" in head["x-edgegate-dropped"]) == (200, True)


async def test_a_caller_cannot_allow_losses_that_the_provider_forbids(tmp_path: Path) -> None:
    asked, status, _, _, _ = await sent(tmp_path, provider={"loss": "reject"}, headers={"x-edgegate-strict": "false"})
    assert (asked, status) == ([], 400)


async def test_a_request_that_loses_nothing_is_served_in_strict_mode(tmp_path: Path) -> None:
    async with Provider(reply(json.dumps(MESSAGE).encode())) as origin:
        provider = {"base_url": origin.url, "api_key": "provider-secret", "loss": "reject"}
        async with live({"providers": {"anthropic": provider}}, tmp_path) as gateway:
            plain = CHAT | {"model": "claude-3-5-haiku-20241022"}
            status, _, head = await gateway.post(body=plain, headers={"x-edgegate-strict": "true"})
    assert (status, "x-edgegate-dropped" in head) == (200, False)


async def test_a_deployment_is_routed_listed_and_priced_by_the_models_name_and_sent_by_its_own(tmp_path: Path) -> None:
    async with Provider(reply(json.dumps(MESSAGE).encode())) as origin:
        provider = {"base_url": origin.url, "api_key": "k", "deployments": {"claude-3-5-haiku-20241022": "arn:aws/x"}}
        async with live({"providers": {"anthropic": provider}}, tmp_path) as gateway:
            native = {"model": "claude-3-5-haiku-20241022", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
            assert (await gateway.post(body=CHAT | {"model": "claude-3-5-haiku-20241022"}))[0] == 200
            assert (await gateway.post("/v1/messages", body=native))[0] == 200
            _, listing, _ = await gateway.get("/v1/models")
            lines = gateway.lines()
    assert [seen.json["model"] for seen in origin.seen] == ["arn:aws/x"] * 2
    assert [model["id"] for model in json.loads(listing)["data"]] == ["claude-3-5-haiku-20241022"]
    assert [(line["model"], line["cost_usd"]) for line in lines[:2]] == [("claude-3-5-haiku-20241022", "0.000017600")] * 2


FOREIGN = [
    {"type": "thinking", "thinking": "from elsewhere", "signature": ""},
    {"type": "thinking", "thinking": "a seal", "signature": "ZWRnZWdhdGU6e30="},
]


@pytest.mark.parametrize("block", FOREIGN, ids=["unsigned", "sealed"])
async def test_thinking_of_other_vendors_is_cut_out_of_a_native_request_and_nothing_else(tmp_path: Path, block: dict[str, Any]) -> None:
    own = {"type": "thinking", "thinking": "my own", "signature": "c2lnbmF0dXJl"}
    text = {"type": "text", "text": "hello"}
    turns: list[Any] = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [block, own, text]},
        {"role": "user", "content": "Go on"},
    ]
    asked = {"model": "claude-3-5-haiku-20241022", "max_tokens": 5, "x_big": 36893488147419103233, "messages": turns}
    async with Provider(reply(json.dumps(MESSAGE).encode())) as origin:
        provider = {"base_url": origin.url, "api_key": "k"}
        async with live({"providers": {"anthropic": provider}}, tmp_path) as gateway:
            status, got, _ = await gateway.post("/v1/messages", body=asked)
    assert (status, json.loads(got)) == (200, MESSAGE)
    assert origin.seen[0].json == asked | {"messages": [turns[0], {"role": "assistant", "content": [own, text]}, turns[2]]}
    assert b"36893488147419103233" in origin.seen[0].body


async def test_tokens_are_estimated_where_the_provider_counts_none(tmp_path: Path) -> None:
    async with Provider() as origin:
        provider = {"dialect": "openai", "base_url": f"{origin.url}/v1", "models": ["gpt-4o"]}
        async with live({"providers": {"one": provider}}, tmp_path) as gateway:
            asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello world, how are you?"}]}
            status, got, head = await gateway.post("/v1/messages/count_tokens", body=asked)
            line = gateway.lines()[-1]
    assert (status, head["x-edgegate-estimated"], origin.seen) == (200, "true", [])
    assert json.loads(got) == {"input_tokens": 7 + 4 + 3}
    assert (line["operation"], line["outcome"], line["attempts"]) == ("count_tokens", "ok", 0)
