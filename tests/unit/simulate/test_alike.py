"""The same question gets the same answer from every vendor, so that one expectation holds for every pair of client and provider."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.unit.simulate.ask import VENDORS, ask, post

every_vendor = pytest.mark.parametrize("vendor", list(VENDORS))
NO_STOP = ("responses",)  # that API has no stop sequences
SILENT = ("openai", "azure")  # they think without telling


@every_vendor
def test_text_and_usage(http: httpx.Client, vendor: str) -> None:
    told = ask(http, vendor, system="Be kind.")
    assert told.text == "[simulated] No provider key is set, so this is a simulated answer. You said: Hello"
    extra = 0 if vendor in ("responses", "anthropic", "gemini", "vertex", "bedrock") else 2 + 3  # a system message is a message
    assert told.tokens == (1 + 2 + 3 + extra, len(told.text.split()))


@every_vendor
def test_calls_and_what_they_answered(http: httpx.Client, vendor: str) -> None:
    prompt = "get_weather and do_nothing in parallel"
    told = ask(http, vendor, prompt=prompt, tools=True)
    assert told.calls == [("get_weather", {"city": "city"}), ("do_nothing", {})]
    answered = ask(http, vendor, prompt=prompt, tools=True, before=told)
    assert answered.text.endswith("The tool answered: 17 degrees 17 degrees")


@every_vendor
def test_an_image_is_seen(http: httpx.Client, vendor: str) -> None:
    assert ask(http, vendor, image=True).text.endswith("You said: Hello (with 1 image: image/png, 68 bytes)")


@every_vendor
def test_a_schema_is_kept_to(http: httpx.Client, vendor: str) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    assert json.loads(ask(http, vendor, schema=schema).text) == {"age": 1}


@pytest.mark.parametrize("vendor", [vendor for vendor in VENDORS if vendor not in NO_STOP])
def test_a_stop_sequence_ends_the_text(http: httpx.Client, vendor: str) -> None:
    assert ask(http, vendor, prompt="repeat 9", stop=["dolor"]).text.strip() == "lorem ipsum"


@every_vendor
def test_a_limit_cuts_the_text(http: httpx.Client, vendor: str) -> None:
    told = ask(http, vendor, prompt="repeat 90", limit=16)
    assert told.tokens[1] == 16
    assert told.finish in ("length", "max_tokens", "MAX_TOKENS", "incomplete")


@every_vendor
def test_models_that_think_do_so_unasked(http: httpx.Client, vendor: str) -> None:
    told = ask(http, vendor, model="some-thinker")
    assert told.text.endswith("You said: Hello")
    assert ("Hello" in told.thinking) is (vendor not in SILENT)
    assert told.tokens[1] > len(told.text.split())


@every_vendor
def test_a_report_says_what_arrived(http: httpx.Client, vendor: str) -> None:
    report = json.loads(ask(http, vendor, prompt="report", system="Be kind.", tools=True, image=True).text)
    assert (report["system"], report["tools"], report["media"]) == ("Be kind.", ["get_weather", "do_nothing"], ["image/png, 68 bytes"])


@every_vendor
def test_an_odd_body_is_an_error_of_the_vendors(http: httpx.Client, vendor: str) -> None:
    ways = VENDORS[vendor]
    for content in (b"{", b"[]", b'{"messages": 7, "contents": 7, "input": 7, "model": "m", "max_tokens": 1}'):
        reply = http.post(ways.path.format(model="m"), content=content, headers=ways.headers)
        assert reply.status_code in (400, 422)
        assert reply.json()
    assert post(http, vendor, "sound").status_code == 200
