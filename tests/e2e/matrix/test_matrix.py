"""The matrix: every client API over every provider, plain and streamed, with the official SDK of the client's API as the caller
and the simulator, which is as strict as the vendors are, as the provider.
"""

from __future__ import annotations

import json
import struct
import zlib

import pytest

from edgegate.simulate import Running
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.matrix.pairs import AWS, PROVIDERS, SPEAKERS, Gap, ProviderCase, gap
from tests.e2e.matrix.speaking import Heard, Said, Speaker, Tool

WEATHER = Tool("get_weather", {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}})
CLOCK = Tool("get_time", {"zone": {"type": "string"}})
WEATHER_CALL = ("get_weather", {"city": "city", "unit": "celsius"})
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["name", "count"],
    "additionalProperties": False,
}
STATUSES = (400, 401, 404, 429, 500, 529)


def png(width: int, height: int) -> bytes:
    """A black picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * (width + 1) * height)) + chunk(b"IEND", b"")


@pytest.fixture(scope="session")
def matrix_gateway(start_gateway: StartGateway, simulator: Running) -> Gateway:
    """A gateway with every provider, without retries, so that errors show at once."""
    chain = ["auth", "route", {"failover": {"attempts": 1, "retries": 0, "breaker": {"failures": 0}}}, "translate", "forward", "meter"]
    providers = {name: {"dialect": name} | case.options(simulator.url) for name, case in PROVIDERS.items()}
    return start_gateway({"providers": providers, "chain": chain, "log": {"level": "warning"}}, AWS)


@pytest.fixture(scope="module", params=SPEAKERS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def speaker(client: str, matrix_gateway: Gateway) -> Speaker:
    return SPEAKERS[client](matrix_gateway.url)


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def case(provider: str) -> ProviderCase:
    return PROVIDERS[provider]


@pytest.fixture
def model(provider: str, case: ProviderCase) -> str:
    return f"{provider}/{case.model}"


@pytest.fixture(params=[False, True], ids=["plain", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def ask(speaker: Speaker, model: str, text: str, stream: bool, said: Said | None = None) -> Heard:
    return speaker.ask(model, [speaker.user(text)], said or Said(), stream)


def test_text(speaker: Speaker, model: str, stream: bool) -> None:
    said = 'Grüße, 世界 👋 — "quoted" \\ \u2028 end'
    heard = ask(speaker, model, said, stream)
    assert heard.text.endswith(f"You said: {said}")
    assert (heard.calls, heard.finish) == ([], "stop")
    assert heard.input_tokens
    assert heard.output_tokens
    assert speaker.last.lost == set()


def test_system(speaker: Speaker, model: str, stream: bool) -> None:
    heard = ask(speaker, model, "report", stream, Said(system="Be brief: «ja» or «nein»."))
    assert json.loads(heard.text)["system"] == "Be brief: «ja» or «nein»."


def test_multi_turn(speaker: Speaker, model: str, stream: bool) -> None:
    first = ask(speaker, model, "My name is Ada.", stream)
    turns = [speaker.user("My name is Ada."), *first.turn, speaker.user("report")]
    report = json.loads(speaker.ask(model, turns, Said(), stream).text)
    assert [role.replace("model", "assistant") for role in report["roles"]] == ["user", "assistant", "user"]
    assert report["texts"] == ["My name is Ada.", first.text, "report"]


def test_tools(speaker: Speaker, model: str, stream: bool) -> None:
    heard = ask(speaker, model, "Call get_weather.", stream, Said(tools=(WEATHER, CLOCK)))
    assert heard.calls == [WEATHER_CALL]
    assert heard.finish == "tool_calls"
    assert speaker.last.lost == set()


def test_parallel_tools(speaker: Speaker, model: str, stream: bool) -> None:
    heard = ask(speaker, model, "In parallel: get_weather and get_time.", stream, Said(tools=(WEATHER, CLOCK)))
    assert heard.calls == [WEATHER_CALL, ("get_time", {"zone": "zone"})]
    ids = [id for id in heard.call_ids if id]
    assert len(set(ids)) == len(ids), "each call has an id of its own"


def test_tool_results(speaker: Speaker, model: str, stream: bool) -> None:
    said = Said(tools=(WEATHER, CLOCK))
    prompt = speaker.user("In parallel: get_weather and get_time.")
    first = speaker.ask(model, [prompt], said, stream)
    turns = [prompt, *first.turn, *speaker.results(first, ["17 degrees", "a quarter past nine"])]
    second = speaker.ask(model, turns, said, stream)
    assert "17 degrees" in second.text
    assert "a quarter past nine" in second.text
    assert (second.calls, second.finish) == ([], "stop")


def test_image(speaker: Speaker, model: str, stream: bool) -> None:
    heard = speaker.ask(model, [speaker.user("What is this?", png(7, 5))], Said(), stream)
    assert "(with 1 image: image/png, " in heard.text
    assert speaker.last.lost == set()


def test_json_schema(speaker: Speaker, model: str, stream: bool) -> None:
    heard = ask(speaker, model, "Count the sheep.", stream, Said(schema=SCHEMA))
    answer = json.loads(heard.text)
    assert answer.keys() == {"name", "count"}
    assert isinstance(answer["count"], int)
    assert (heard.calls, heard.finish) == ([], "stop")


def test_thinking(client: str, provider: str, speaker: Speaker, case: ProviderCase, stream: bool) -> None:
    """The thoughts are shown, and a tool can be called in between: what the vendor wants back of its reasoning comes back."""
    model = f"{provider}/{case.thinks}"
    said = Said(think=True, tools=(WEATHER,))
    prompt = speaker.user("Call get_weather.")
    first = speaker.ask(model, [prompt], said, stream)
    known = gap(client, provider, "thinking")
    if known is not None:
        assert first.thinking == ""
        shows(known, speaker)
    else:
        assert first.thinking.startswith("The user said")
    assert first.calls == [WEATHER_CALL]
    second = speaker.ask(model, [prompt, *first.turn, *speaker.results(first, ["17 degrees"])], said, stream)
    assert "17 degrees" in second.text


def test_stop(client: str, provider: str, speaker: Speaker, model: str, stream: bool) -> None:
    heard = ask(speaker, model, "one two STOP three", stream, Said(stop="STOP"))
    known = gap(client, provider, "stop")
    if known is not None:
        assert heard.text.endswith("three")
        shows(known, speaker)
    else:
        assert heard.text.endswith("one two ")
        assert heard.finish == "stop"


def test_max_tokens(speaker: Speaker, model: str, stream: bool) -> None:
    heard = ask(speaker, model, "repeat 50", stream, Said(max_tokens=20))
    assert (len(heard.text.split()), heard.finish, heard.output_tokens) == (20, "length", 20)


@pytest.mark.parametrize("status", STATUSES)
def test_errors(speaker: Speaker, provider: str, status: int, stream: bool) -> None:
    with pytest.raises(Exception) as caught:
        ask(speaker, f"{provider}/error-{status}", "Hello", stream)
    assert speaker.status(caught.value) == (503 if status == 529 and provider == "bedrock" else status), "AWS has no 529"
    assert speaker.last.headers["x-edgegate-error-source"] == "provider"


def shows(known: Gap, speaker: Speaker) -> None:
    """The app was told, where something it asked for was dropped."""
    assert {known.named} - {""} <= speaker.last.lost, known.reason
