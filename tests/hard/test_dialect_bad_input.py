"""Bad input in every dialect but OpenAI's chat, which `test_bad_input.py` has: always a 4xx in that dialect's own shape that names
the field, never a 500, nothing upstream, and the connection carries the next request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote

import pytest

from edgegate.config.stages import AuthOptions
from tests.hard.live import Live
from tests.hard.many import MAX_BODY, many, served
from tests.hard.misbehaving import Provider, answer
from tests.hard.raw_client import RawClient, Reply, chunked, request
from tests.hard.rich import RICH
from tests.hard.speech import GATEWAY_KEY, dumps, http
from tests.hard.test_odd_json import ODD_VALUES, _mutations, _with
from tests.hard.tongues import BEARER, CONTENTS, GOOGLE, SURFACES, Json, Surface, said, told
from tests.hard.vendors import TEXT, VENDORS

surfaces = pytest.mark.parametrize("surface", list(SURFACES.values()), ids=list(SURFACES))
MODEL = "gpt-4o"


@pytest.fixture(scope="module")
def _many(_provider: Provider) -> Iterator[Live]:
    live = Live(many(_provider.port))
    yield live
    live.close()


@pytest.fixture
def gateway(_many: Live, provider: Provider) -> Iterator[Live]:
    with served(_many, provider) as live:
        yield live


class Asker:
    """One connection, opened anew where the gateway closes it. Gathers what fails instead of stopping at the first."""

    def __init__(self, gateway: Live, provider: Provider, surface: Surface) -> None:
        self.gateway, self.provider, self.surface = gateway, provider, surface
        self.client = RawClient(gateway.port)
        self.failures: list[str] = []

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.client.socket.close()
        if kind is None:
            assert not self.failures, f"{len(self.failures)} failures:\n" + "\n".join(self.failures[:25])

    def send(self, wire: bytes) -> Reply:
        self.client.send(wire)
        return self.client.reply()

    def refused(self, what: str, wire: bytes, *names: str, status: tuple[int, ...] = (400,)) -> None:
        """This is refused in the words of the dialect, names what is wrong, and goes nowhere."""
        reply = None
        try:
            reply = self.send(wire)
            assert reply.status in status, f"status {reply.status}"
            assert reply.header("x-edgegate-error-source") == "client"
            words = said(self.surface.dialect, reply)
            assert not names or any(name in words for name in names), f"does not name {' or '.join(names)}"
            self.provider.nothing()
            if not reply.closes:
                self.client.assert_usable()
        except (AssertionError, ValueError, KeyError, OSError) as failure:
            self.failures.append(f"{what}: {str(failure).splitlines()[0]} {reply.body[:250] if reply else ''!r}")
            self.provider.clear()
            reply = None
        if reply is None or reply.closes:
            self.client.socket.close()
            self.client = RawClient(self.gateway.port)

    def survived(self, what: str, wire: bytes) -> Reply | None:
        """Refused as above, or asked of the provider; a fault of ours is neither."""
        reply = None
        try:
            reply = self.send(wire)
            if reply.status == 200:
                return reply
            words = said(self.surface.dialect, reply)
            source = reply.header("x-edgegate-error-source")
            assert source in ("client", "provider"), f"{reply.status} {words}"
            assert (source == "client") == (reply.status < 500), reply.status
            self.client.assert_usable()
        except (AssertionError, ValueError, KeyError, OSError) as failure:
            self.failures.append(f"{what}: {failure!r} {reply.body[:250] if reply else ''!r}")
            self.client.socket.close()
            self.client = RawClient(self.gateway.port)
        return reply


# -- no JSON


def with_text(surface: Surface, raw: bytes) -> bytes:
    """The good request with these raw bytes in place of its text."""
    return dumps(surface.good(MODEL)).replace(b'"Hi"', b'"' + raw + b'"').replace(b'"q"', b'"' + raw + b'"')


def not_json(surface: Surface) -> dict[str, bytes]:
    good = dumps(surface.good(MODEL))
    return {
        "nothing": b"",
        "blanks": b" \r\n\t ",
        "an array": b"[]",
        "the request in an array": b"[" + good + b"]",
        "a string": b'"x"',
        "a number": b"1",
        "null": b"null",
        "form data": b"model=gpt-4o",
        "half a document": good[:-3],
        "two documents": good + good,
        "a byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16"),
        "Latin-1": with_text(surface, "é".encode("latin-1")),
        "bytes that are not UTF-8": with_text(surface, b"\xff\xfe"),
        "an encoded surrogate": with_text(surface, b"\xed\xa0\x80"),
        "half of a surrogate pair": with_text(surface, rb"\ud800"),
        "half of a pair in a key": b'{"\\udc00": 1, ' + good[1:],
        "a control character": with_text(surface, b"\x01"),
        "NaN": b'{"x": NaN, ' + good[1:],
        "Infinity": b'{"x": -Infinity, ' + good[1:],
        "1,100 arrays in each other": b'{"x": ' + b"[" * 1100 + b"]" * 1100 + b", " + good[1:],
        "100,000 open brackets": b"[" * 100_000,
    }


@surfaces
def test_what_is_no_json_object_is_400(surface: Surface, gateway: Live, provider: Provider) -> None:
    with Asker(gateway, provider, surface) as asker:
        for name, body in not_json(surface).items():
            asker.refused(name, surface.post(MODEL, body))
            asker.refused(f"{name}, for a stream", surface.post(MODEL, body, stream=True))


# -- wrong types

DEEP = json.loads('{"a":' * 300 + "1" + "}" * 300)
VALUES: dict[str, Any] = {
    "text": "x",
    "empty text": "",
    "number": 3,
    "float": 1.5,
    "true": True,
    "empty array": [],
    "array of numbers": [1],
    "array of texts": ["x"],
    "array of null": [None],
    "array of arrays": [[]],
    "object": {},
    "nested": {"a": {"b": [None]}},
    "deep": DEEP,
    "deep array": json.loads("[" * 300 + "]" * 300),
    "large": 10**30,
    "negative": -1,
}
ANY = set(VALUES)
DEEPLY = {"deep", "deep array"}
TEXT_ = {"text", "empty text"}
FILLED = {"text"}
NUMBER = {"number", "float", "large", "negative"}
INTEGER = {"number", "negative"}
POSITIVE = {"number"}
FLAG = {"true"}
OBJECT = {"object", "nested"}
ARRAY = {"empty array"}
TEXTS = {"empty array", "array of texts"}
CHAT_FIELDS: dict[str, set[str]] = {"model": FILLED, "messages": set(), "tools": ARRAY, "temperature": NUMBER}
FIELDS: dict[str, dict[str, set[str]]] = {
    "azure": {"messages": set(), "tools": ARRAY, "temperature": NUMBER, "stream": FLAG, "max_tokens": POSITIVE, "stop": TEXT_ | TEXTS},
    "responses": {
        "model": FILLED,
        "input": TEXT_ | ARRAY,
        "instructions": TEXT_,
        "stream": FLAG,
        "tools": ARRAY,
        "tool_choice": TEXT_,
        "parallel_tool_calls": FLAG,
        "text": OBJECT,
        "reasoning": OBJECT,
        "include": TEXTS,
        "max_output_tokens": POSITIVE,
        "temperature": NUMBER,
        "top_p": NUMBER,
        "top_logprobs": POSITIVE,
        "metadata": OBJECT,
        "user": TEXT_,
        "store": FLAG,
        "background": FLAG,
        "truncation": TEXT_,
        "previous_response_id": set(),
        "conversation": set(),
        "prompt": set(),
        "stream_options": OBJECT,
        "service_tier": TEXT_,
    },
    "count_tokens": {"model": FILLED, "messages": set(), "system": TEXT_ | ARRAY, "tools": ARRAY, "tool_choice": set(), "thinking": set()},
    "gemini": {
        "contents": OBJECT,  # protobuf: one is a list of one
        "systemInstruction": {"object", "nested"},
        "generationConfig": OBJECT,
        "toolConfig": OBJECT,
        "tools": ARRAY | OBJECT,
        "safetySettings": ARRAY | OBJECT,
    },
    "gemini count": {"contents": OBJECT, "generateContentRequest": set()},
    "gemini embed": {"content": {"object", "nested"}, "outputDimensionality": NUMBER},
    "gemini batch": {"requests": set()},
    "ollama chat": {
        "model": FILLED,
        "messages": ARRAY,
        "stream": FLAG,
        "tools": ARRAY,
        "options": OBJECT,
        "format": {"object", "nested", "empty text"},
        "think": FLAG | TEXT_,
        "logprobs": FLAG,
        "keep_alive": TEXT_ | NUMBER,
    },
    "ollama generate": {
        "model": FILLED,
        "prompt": TEXT_,
        "suffix": TEXT_,
        "system": TEXT_,
        "stream": FLAG,
        "raw": FLAG,
        "images": TEXTS,
        "context": ARRAY | {"array of numbers"},
        "options": OBJECT,
        "format": {"object", "nested", "empty text"},
    },
    "ollama embed": {"model": FILLED, "input": TEXT_ | TEXTS, "options": OBJECT, "truncate": FLAG, "dimensions": INTEGER},
    "ollama embeddings": {"model": FILLED, "prompt": TEXT_, "options": OBJECT},
    "cohere chat": {
        "model": FILLED,
        "messages": set(),
        "stream": FLAG,
        "tools": ARRAY,
        "tool_choice": set(),
        "documents": TEXTS,
        "citation_options": OBJECT,
        "response_format": set(),
        "safety_mode": TEXT_,
        "max_tokens": INTEGER,
        "stop_sequences": TEXTS,
        "temperature": NUMBER,
        "seed": INTEGER,
        "frequency_penalty": NUMBER,
        "k": INTEGER,
        "p": NUMBER,
        "logprobs": FLAG,
        "thinking": set(),
    },
    "cohere embed": {
        "model": FILLED,
        "texts": {"array of texts"},
        "input_type": TEXT_,
        "embedding_types": ARRAY,
        "output_dimension": INTEGER,
        "truncate": TEXT_,
    },
    "cohere rerank": {
        "model": FILLED,
        "query": FILLED | OBJECT,
        "documents": {"array of texts"},
        "top_n": INTEGER,
        "max_tokens_per_doc": INTEGER,
    },
    "loose rerank": {
        "model": FILLED,
        "query": FILLED | OBJECT,
        "documents": {"array of texts"},
        "top_n": INTEGER,
        "return_documents": FLAG,
        "rank_fields": TEXTS,
    },
}


@pytest.mark.parametrize("name", list(FIELDS))
def test_a_field_of_the_wrong_type_is_400_and_named(name: str, gateway: Live, provider: Provider) -> None:
    """Every field that is relied on with every kind of wrong value, one after the other on one connection."""
    surface = SURFACES[name]
    with Asker(gateway, provider, surface) as asker:
        for field, fit in FIELDS[name].items():
            for kind, value in VALUES.items():
                wire = surface.post(MODEL, dumps(surface.good(MODEL) | {field: value}))
                if kind in fit or (kind in ("large", "negative") and fit & NUMBER):
                    asker.survived(f"{field}={kind}", wire)
                else:
                    asker.refused(
                        f"{field}={kind}",
                        wire,
                        field,
                        *(("nested",) if kind in DEEPLY else ()),
                        status=(400, 404) if field == "model" else (400,),
                    )
                provider.clear()


CHAT_NAMES = (
    "audio", "cache_control", "documents", "extra_body", "frequency_penalty", "function_call", "functions", "inputs",
    "instructions", "json_schema", "labels", "logit_bias", "logprobs", "max_completion_tokens", "max_tokens", "messages",
    "metadata", "modalities", "n", "options", "output_config", "parallel_tool_calls", "prediction", "presence_penalty", "prompt",
    "prompt_cache_key", "reasoning", "reasoning_effort", "response_format", "safety_identifier", "safetySettings", "safe_prompt",
    "seed", "service_tier", "stop", "stop_sequences", "store", "stream_options", "system", "temperature", "text", "thinking",
    "tool_choice", "tools", "top_k", "top_logprobs", "top_p", "user", "verbosity", "web_search_options", "x",
)  # fmt: skip
"""What some dialect, or the chat that stands between them, has a meaning for: each of them in requests of every other."""

ASKED = ("text", "number", "true", "array of null", "array of numbers", "nested", "object", "large")


@surfaces
@pytest.mark.parametrize("target", list(VENDORS))
def test_any_value_in_a_field_of_any_dialect_is_never_a_fault_of_ours(
    target: str, surface: Surface, gateway: Live, provider: Provider
) -> None:
    model = VENDORS[target].model
    kinds = ASKED if surface.streams or "count" in surface.name else ASKED[::3]
    with Asker(gateway, provider, surface) as asker:
        for name in CHAT_NAMES:
            for kind in kinds:
                provider.always(answer(http(VENDORS[target].whole)))
                body = dumps(surface.good(model) | {name: VALUES[kind]})
                asker.survived(f"{name}={kind}", surface.post(model, body))


MUTATED_EACH = 7
"""Every seventh of some 50,000 mutations: all of them take 20 s. No place is left out."""


@pytest.mark.parametrize("name", list(RICH))
@pytest.mark.parametrize("target", list(VENDORS))
def test_any_value_in_any_place_of_a_rich_request_is_never_a_fault_of_ours(
    target: str, name: str, gateway: Live, provider: Provider
) -> None:
    surface, vendor, rich = SURFACES[name], VENDORS[target], RICH[name]
    start = list(VENDORS).index(target)
    cases = [(place, new) for place, _ in _mutations(rich) if place for new in ODD_VALUES]
    with Asker(gateway, provider, surface) as asker:
        provider.always(answer(http(vendor.whole)))
        for place, new in cases[start::MUTATED_EACH]:
            body = surface.good(vendor.model, **_with(rich, place, new))
            if surface.streams and not surface.stream_path:
                body["stream"] = False
            asker.survived(f"{'.'.join(map(str, place))}={new!r}", surface.post(vendor.model, dumps(body)))


REQUIRED = {
    "azure": ("messages",),
    "responses": ("model", "input"),
    "messages": ("model", "messages", "max_tokens"),
    "count_tokens": ("model", "messages"),
    "gemini": ("contents",),
    "gemini array": ("contents",),
    "gemini v1": ("contents",),
    "vertex": ("contents",),
    "gemini count": ("contents",),
    "gemini embed": ("content",),
    "gemini batch": ("requests",),
    "ollama chat": ("model",),
    "ollama generate": ("model",),
    "ollama embed": ("model",),
    "ollama embeddings": ("model",),
    "cohere chat": ("model", "messages"),
    "cohere embed": ("model", "texts"),
    "cohere rerank": ("model", "query", "documents"),
    "loose rerank": ("model", "query", "documents"),
}


@pytest.mark.parametrize("name", list(REQUIRED))
def test_a_required_field_that_is_missing_is_400_and_named(name: str, gateway: Live, provider: Provider) -> None:
    surface = SURFACES[name]
    with Asker(gateway, provider, surface) as asker:
        for field in REQUIRED[name]:
            good = surface.good(MODEL)
            asker.refused(f"{field} left out", surface.post(MODEL, dumps({k: v for k, v in good.items() if k != field})), field)
            asker.refused(f"{field} of null", surface.post(MODEL, dumps(good | {field: None})), field)
        asker.refused("an empty object", surface.post(MODEL, b"{}"), *REQUIRED[name])


# -- models and methods


NAMES = [
    "nope-1",
    "../gpt-4o",
    "gpt-4o\r\nx-evil: 1",
    "gpt-4o\0",
    " gpt-4o",
    "//evil.example",
    "\U0001f600",
    "\u202egpt-4o",
    "%67pt-4o",
    "a" * 3000,
]


@surfaces
def test_an_unknown_model_is_404_and_goes_nowhere(surface: Surface, gateway: Live, provider: Provider) -> None:
    with Asker(gateway, provider, surface) as asker:
        for name in NAMES:
            asker.refused(
                repr(name[:30]), surface.post(quote(name, safe="") if surface.in_path else name, dumps(surface.good(name))), status=(404,)
            )
        if not surface.in_path:
            wire = surface.post("", dumps(surface.good("m" * 1_000_000)))
            asker.refused("a name of 1 MB", wire, status=(404,))
            assert b"m" * 400 not in bytes(asker.client.received), "the name is quoted in full"


IN_PATH = [surface for surface in SURFACES.values() if surface.in_path]


@pytest.mark.parametrize("surface", IN_PATH, ids=[surface.name for surface in IN_PATH])
def test_a_model_of_any_bytes_in_the_path_is_404_in_the_dialect(surface: Surface, gateway: Live, provider: Provider) -> None:
    odd = ["%ff", "%ED%A0%80", "%00", "%0d%0ax-evil:1", "..%2f..%2fadmin", "..%5c..", "%2e%2e", "gpt-4o%20", "%", "%zz"]
    with Asker(gateway, provider, surface) as asker:
        for name in odd:
            asker.refused(name, surface.post(name, dumps(surface.good(MODEL))), status=(404,))


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("gpt-4o", "gpt-4o"),
        ("openai%2Fgpt-4o", "gpt-4o"),
        ("openai%2fmodels%2fa%2fb", "models/a/b"),
        ("models%2Fa%2Fb", "models/a/b"),
        ("a%3Ab", "a:b"),
        ("gpt%2D4o", "gpt-4o"),
    ],
)
@pytest.mark.parametrize("surface", IN_PATH, ids=[surface.name for surface in IN_PATH])
def test_an_encoded_model_in_the_path_is_the_model(surface: Surface, written: str, sent: str, gateway: Live, provider: Provider) -> None:
    with RawClient(gateway.port) as client:
        client.send(surface.post(written, dumps(surface.good(MODEL))))
        reply = client.reply()
        assert reply.status == 200, reply.body
        if "count" not in surface.name:  # counted here: OpenAI has no counting
            assert json.loads(provider.only().body)["model"] == sent


@pytest.mark.parametrize("name", ["models/a/b", "a:b", "openai/gpt-4o"])
def test_slashes_and_colons_in_geminis_paths_need_no_encoding(name: str, gateway: Live, provider: Provider) -> None:
    surface = SURFACES["gemini"]
    with RawClient(gateway.port) as client:
        client.send(surface.post(name, dumps(surface.good(MODEL))))
        assert client.reply().status == 200
        assert json.loads(provider.only().body)["model"] == name.removeprefix("openai/")


@pytest.mark.parametrize(
    "name", ["..%2F..%2Fadmin", "..", "%2e%2e%2fx", "x%2F..%2F..%2Fy", "x%3Fkey=1", "x%23y", "x%0d%0ay:z", "x%5c..%5cy", "%00"]
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_native_model_name_cannot_leave_its_place_in_the_providers_path(
    stream: bool, name: str, gateway: Live, provider: Provider
) -> None:
    surface = SURFACES["gemini"]
    with Asker(gateway, provider, surface) as asker:
        asker.survived(name, surface.post(f"gemini%2F{name}", dumps(surface.good(MODEL)), stream=stream))
        for got in provider.requests:
            rest = got.target.removeprefix("/v1beta/models/").removesuffix("?alt=sse")
            place, _, verb = rest.rpartition(":")
            assert verb in ("generateContent", "streamGenerateContent")
            assert not set("/?#\\ ") & set(place)
            assert not {".", ".."} & set(unquote(place).replace("\\", "/").split("/")), got.target
        assert provider.stray == b""


def test_an_azure_deployment_counts_more_than_the_model_in_the_body(gateway: Live, provider: Provider) -> None:
    """Else a key that is limited to one model could name another in the body."""
    surface = SURFACES["azure"]
    for model in (None, "o-expensive", "gpt-4o", 3, ""):
        provider.clear()
        with RawClient(gateway.port) as client:
            client.send(surface.post("gpt-4o", dumps(surface.body | {"model": model})))
            assert client.reply().status == 200
            assert json.loads(provider.only().body)["model"] == "gpt-4o"


@surfaces
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_another_method_is_405_in_the_dialect(method: str, surface: Surface, gateway: Live, client: RawClient, provider: Provider) -> None:
    client.send(surface.post(MODEL, b"", method=method))
    if method == "HEAD":
        reply = client.reply(head_request=True)
        assert (reply.status, reply.body) == (405, b"")
    else:
        reply = client.reply()
        assert reply.status == 405
        said(surface.dialect, reply)
    assert reply.header("allow") == "POST"
    client.assert_usable()
    provider.nothing()


@pytest.mark.parametrize(
    ("path", "method", "allow", "dialect"),
    [
        ("/api/show", "GET", "POST", "ollama"),
        ("/api/tags", "POST", "GET, HEAD", "ollama"),
        ("/api/ps", "DELETE", "GET, HEAD", "ollama"),
        ("/api/version", "POST", "GET, HEAD", "ollama"),
        ("/v1/models", "POST", "GET, HEAD", "openai"),
        ("/v1beta/models", "POST", "GET, HEAD", "gemini"),
    ],
)
def test_another_method_of_a_list_is_405(path: str, method: str, allow: str, dialect: str, gateway: Live, client: RawClient) -> None:
    client.send(request(path, b"", BEARER, method=method))
    reply = client.reply()
    assert reply.status == 405
    said(dialect, reply)
    assert reply.header("allow") == allow
    client.assert_usable()


@pytest.mark.parametrize("path", [s.path for s in IN_PATH if s.dialect == "gemini"])
@pytest.mark.parametrize("verb", ["fooBar", "generatecontent", "x", "generateContent%20", "generateContent/x"])
@pytest.mark.parametrize("line", [GOOGLE, BEARER], ids=["x-goog-api-key", "Bearer"])
def test_an_unknown_verb_is_404_in_geminis_words(
    line: str, verb: str, path: str, gateway: Live, client: RawClient, provider: Provider
) -> None:
    path = path.replace("{m}", MODEL).rpartition(":")[0] + ":" + verb
    client.send(request(path, dumps({"contents": []}), line))
    reply = client.reply()
    assert reply.status == 404, reply.body
    said("gemini" if verb.isalpha() or "beta" in path or "projects" in path or line == GOOGLE else "openai", reply)
    client.assert_usable()
    provider.nothing()


def test_a_verb_that_only_gemini_knows_is_passed_to_gemini(gateway: Live, client: RawClient, provider: Provider) -> None:
    provider.says(http(dumps({"error": {"code": 404, "message": "no such verb", "status": "NOT_FOUND"}}), status=b"404 No"))
    client.send(request("/v1beta/models/gemini-2.5-flash:fooBar", b"{}", GOOGLE))
    reply = client.reply()
    assert reply.status == 404
    assert b"no such verb" in reply.body
    assert provider.only().target == "/v1beta/models/gemini-2.5-flash:fooBar"


SHOWS: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"[]", 400),
    (b"{}", 400),
    (b'{"model": 3}', 400),
    (b'{"model": ""}', 400),
    (b'{"model": null}', 400),
    (b'{"model": ["gpt-4o"]}', 400),
    (b'{"model": "nope"}', 404),
    (b'{"model": "\\ud800"}', 400),
    (b'{"model": "\xff"}', 400),
    (b'{"name": {}}', 400),
    (b"[" * 5000, 400),
    (dumps({"model": "x" * 1_000_000}), 404),
]


@pytest.mark.parametrize(("body", "status"), SHOWS, ids=[repr(body[:30]) for body, _ in SHOWS])
def test_showing_a_bad_model_is_refused_in_ollamas_words(body: bytes, status: int, gateway: Live, client: RawClient) -> None:
    client.send(request("/api/show", body, BEARER))
    reply = client.reply()
    assert reply.status == status, reply.body
    words = said("ollama", reply)
    assert status == 404 or body[:1] != b"{" or "model" in words or "JSON" in words or "UTF-8" in words
    assert len(reply.body) < 1000
    client.assert_usable()


# -- state, losses


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("conversation", {"id": "conv_1"}),
        ("prompt", {"id": "pmpt_1"}),
        ("background", True),
        ("input", [{"type": "item_reference", "id": "msg_1"}]),
    ],
)
@pytest.mark.parametrize("target", list(VENDORS))
def test_state_that_nobody_keeps_is_400_and_named(target: str, field: str, value: Any, gateway: Live, provider: Provider) -> None:
    surface = SURFACES["responses"]
    with Asker(gateway, provider, surface) as asker:
        for stream in (False, True):
            asker.refused(field, surface.post("", dumps(surface.good(VENDORS[target].model) | {field: value, "stream": stream})), field)


LOST: dict[str, tuple[Json, str]] = {
    "chat": ({"seed": 7}, "seed"),
    "azure": ({"seed": 7}, "seed"),
    "responses": ({"safety_identifier": "x", "prompt_cache_key": "y"}, "prompt_cache_key"),
    "gemini": ({"generationConfig": {"seed": 7}}, "seed"),
    "gemini array": ({"generationConfig": {"seed": 7}}, "seed"),
    "vertex": ({"generationConfig": {"seed": 7}}, "seed"),
    "ollama chat": ({"options": {"seed": 7}}, "seed"),
    "ollama generate": ({"options": {"seed": 7}}, "seed"),
    "cohere chat": ({"seed": 7}, "seed"),
}


@pytest.mark.parametrize("name", list(LOST))
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_losses_are_told_or_refused_as_it_was_asked(stream: bool, name: str, gateway: Live, provider: Provider) -> None:
    surface = SURFACES[name]
    more, field = LOST[name]
    vendor = VENDORS["anthropic"]
    stream = (stream or name == "gemini array") and surface.streams
    with Asker(gateway, provider, surface) as asker:
        asker.refused("loss: reject", surface.ask("picky-1", stream=stream, **more), field)
        for model in ("claude-haiku-4-5", "lossy-1"):
            asker.refused(f"strict, {model}", surface.ask(model, "x-edgegate-strict: true", stream=stream, **more), field)
        for model, line in (("claude-haiku-4-5", ""), ("lossy-1", ""), ("lossy-1", "x-edgegate-strict: false")):
            provider.says(vendor.stream(b"".join(vendor.text)) if stream else http(vendor.whole))
            reply = asker.send(surface.ask(model, line, stream=stream, **more))
            assert reply.status == 200, reply.body
            assert field in (reply.header("x-edgegate-dropped") or "").split(",")


# -- keys

STYLES = ("authorization: Bearer {}", "x-api-key: {}", "api-key: {}", "x-goog-api-key: {}")


@surfaces
def test_a_missing_or_wrong_key_is_401_in_the_dialect(surface: Surface, gateway: Live, provider: Provider) -> None:
    good = dumps(surface.good(MODEL))
    with Asker(gateway, provider, surface) as asker:
        for key in ["", *(style.format("wrong-key-0000") for style in STYLES), "authorization: Basic eDp5", "x-goog-api-key: \xff\xfe"]:
            for what, body in (("good", good), ("no JSON", b"{"), ("an unknown model", dumps(surface.good("nope")))):
                asker.refused(f"{key!r}, {what}", surface.post(MODEL, body, key=key), status=(401,))
        assert b"wrong-key" not in bytes(asker.client.received)
        if "rerank" not in surface.name:  # OpenAI has none
            for style in STYLES:
                asker.client.send(surface.post(MODEL, good, key=style.format(GATEWAY_KEY)))
                assert asker.client.reply().status == 200, style


@pytest.mark.parametrize(
    "path", ["/v1/images/generations", "/v1/files", "/api/show", "/api/tags", "/v1beta/models", "/v1beta/files", "/v1/models"]
)
def test_other_paths_need_a_key_too(path: str, gateway: Live, client: RawClient, provider: Provider) -> None:
    """Also where the body holds one: it is not understood here, so it would go on to the provider."""
    dialect = "ollama" if path.startswith("/api/") else "gemini" if "beta" in path else "openai"
    get = path in ("/api/tags", "/v1beta/models", "/v1/models")
    for body in (b"{}", dumps({"x-budget-key": GATEWAY_KEY, "model": MODEL})):
        client.send(request(path, b"" if get else body, method="GET" if get else "POST"))
        reply = client.reply()
        assert reply.status == 401
        said(dialect, reply)
        assert reply.header("www-authenticate") == "Bearer"
    client.assert_usable()
    provider.nothing()


# -- sizes


@surfaces
def test_a_text_of_1_mb_is_served_and_a_body_beyond_the_limit_is_413(surface: Surface, gateway: Live, provider: Provider) -> None:
    with Asker(gateway, provider, surface) as asker:
        large = with_text(surface, b"x" * 1_000_000)
        if "rerank" not in surface.name:
            reply = asker.survived("1 MB", surface.post(MODEL, large))
            assert reply is not None
            assert reply.status == 200
            provider.clear()
        asker.refused("5 MB", surface.post(MODEL, with_text(surface, b"x" * (5 << 20))), status=(413,))
        head = surface.post(MODEL, b"").replace(b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n")
        asker.refused("5 MB in chunks", head + chunked(*[b" " * (1 << 20)] * 5), status=(413,))


# -- odd but legal


@surfaces
def test_a_chunked_request_is_read_like_any_other(surface: Surface, gateway: Live, provider: Provider) -> None:
    if "rerank" in surface.name:
        pytest.skip("OpenAI has no rerank")
    body = dumps(surface.good(MODEL))
    head = surface.post(MODEL, b"").replace(b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n")
    with RawClient(gateway.port) as client:
        client.send(head, chunked(*(body[at : at + 7] for at in range(0, len(body), 7))))
        assert client.reply().status == 200
        client.send(head.replace(b"transfer-encoding: chunked", b"expect: 100-continue\r\ntransfer-encoding: chunked"))
        assert client.head().status == 100
        client.send(chunked(body))
        assert client.reply().status == 200
        client.assert_usable()


@pytest.fixture(scope="module")
def with_query(_provider: Provider) -> Iterator[Live]:
    basis = many(_provider.port)
    live = Live(replace(basis, chain=tuple(replace(s, options=AuthOptions(query=True)) if s.name == "auth" else s for s in basis.chain)))
    yield live
    live.close()


QUERIES = ["alt=sse&key={}", "key={}&alt=sse", "alt=sse&%24alt=json&key={}", "alt=sse&api_key={}", "k%65y={}&alt=sse"]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("model", ["gpt-4o", "gemini-2.5-flash"])
def test_a_key_in_the_query_works_if_switched_on_and_goes_no_further(model: str, query: str, with_query: Live, provider: Provider) -> None:
    vendor = VENDORS["gemini" if model.startswith("gemini") else "openai"]
    path = f"/v1beta/models/{model}:streamGenerateContent?" + query
    with served(with_query, provider) as live, RawClient(live.port) as client:
        provider.says(vendor.stream(b"".join(vendor.text)))
        client.send(request(path.format(GATEWAY_KEY), dumps({"contents": CONTENTS})))
        seen = told("gemini", client.reply())
        assert (seen.text, seen.ends) == (TEXT, 1)
        assert GATEWAY_KEY.encode() not in bytes(provider.everything)
        client.send(request(path.format("wrong-key-0000"), dumps({"contents": CONTENTS})))
        reply = client.reply()
        assert reply.status == 401
        assert "wrong-key" not in said("gemini", reply)
        assert GATEWAY_KEY.encode() not in live.log.getvalue()


@pytest.mark.parametrize("query", QUERIES)
def test_a_key_in_the_query_is_no_key_if_not_switched_on(query: str, gateway: Live, client: RawClient, provider: Provider) -> None:
    path = "/v1beta/models/gpt-4o:streamGenerateContent?" + query.format(GATEWAY_KEY)
    client.send(request(path, dumps({"contents": CONTENTS})))
    reply = client.reply()
    assert reply.status == 401
    assert GATEWAY_KEY not in said("gemini", reply)
    assert GATEWAY_KEY.encode() not in gateway.log.getvalue()
    provider.nothing()


@pytest.mark.parametrize("query", ["alt=json", "alt=SSE", "alt=sse&alt=json", "alt", "alt=", "&&&", "alt=%73se", "x=" + "y" * 3000])
def test_an_odd_query_of_a_stream_gives_a_whole_stream(query: str, gateway: Live, client: RawClient, provider: Provider) -> None:
    vendor = VENDORS["openai"]
    provider.says(vendor.stream(b"".join(vendor.text)))
    client.send(request("/v1beta/models/gpt-4o:streamGenerateContent?" + query, dumps({"contents": CONTENTS}), GOOGLE))
    seen = told("gemini" if query == "alt=%73se" else "gemini array", client.reply())
    assert (seen.text, seen.ends) == (TEXT, 1)


# -- paths that are passed through


def form(*fields: tuple[str, bytes], boundary: str = "b0undary") -> bytes:
    parts = [f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n" for name, value in fields]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


MULTIPART = "content-type: multipart/form-data; boundary=b0undary"
AUDIO = ("file", bytes(range(256)) * 40)
JSON_ = "content-type: application/json"


@pytest.mark.parametrize(
    ("path", "body", "type", "status"),
    [
        ("/v1/images/generations", b"", JSON_, 400),
        ("/v1/images/generations", b"{", JSON_, 400),
        ("/v1/images/generations", b"[]", JSON_, 400),
        ("/v1/images/generations", b'{"prompt": "\xff"}', JSON_, 400),
        ("/v1/images/generations", b'{"prompt": "\\ud800"}', JSON_, 400),
        ("/v1/images/generations", b"[" * 9000, JSON_, 400),
        ("/v1/images/generations", b'{"model": "nope", "prompt": "x"}', JSON_, 404),
        ("/v1/images/generations", b'{"model": "claude-haiku-4-5", "prompt": "x"}', JSON_, 404),
        ("/v1/images/generations", dumps({"model": "m" * 100_000, "prompt": "x"}), JSON_, 404),
        ("/v1/audio/transcriptions", form(AUDIO, ("model", b"nope")), MULTIPART, 404),
        ("/v1/audio/transcriptions", form(("model", b"nope\xff\xfe")), MULTIPART, 404),
        ("/v1/audio/transcriptions", form(("model", b"nope\r\nx: y")), MULTIPART, 404),
        ("/v1/audio/transcriptions", form(AUDIO, ("model", MODEL.encode())), "content-type: multipart/form-data", 400),
        ("/v1/audio/transcriptions", form(AUDIO, ("model", MODEL.encode())), "content-type: text/plain", 400),
        ("/v1/audio/transcriptions", b"x" * (5 << 20), MULTIPART, 413),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_bad_input_of_a_passed_path_is_refused_in_openais_words(
    path: str, body: bytes, type: str, status: int, gateway: Live, provider: Provider
) -> None:
    with Asker(gateway, provider, SURFACES["chat"]) as asker:
        asker.refused(path, request(path, body, BEARER, type), status=(status,))
        assert len(asker.client.received) < 2000


@pytest.mark.parametrize(
    "body",
    [
        form(),
        form(AUDIO),
        form(("model", b"")),
        b"",
        b"rubbish",
        b"--b0undary",
        b"--b0undary--",
        form(AUDIO)[:-30],
        form(("Model", b"x")) * 9,
    ],
    ids=lambda body: repr(body)[:30],
)
def test_a_form_without_a_model_goes_to_the_family_or_nowhere(body: bytes, gateway: Live, client: RawClient, provider: Provider) -> None:
    client.send(request("/v1/audio/transcriptions", body, BEARER, MULTIPART))
    reply = client.reply()
    assert reply.status == 200, reply.body
    assert provider.only().body == body
    client.assert_usable()


def test_a_big_form_arrives_as_it_was(gateway: Live, client: RawClient, provider: Provider) -> None:
    body = form(("model", MODEL.encode()), ("file", bytes(range(256)) * 12_000))
    for wire in (
        request("/v1/audio/transcriptions", body, BEARER, MULTIPART),
        request("/v1/audio/transcriptions", b"", BEARER, MULTIPART).replace(b"content-length: 0", b"transfer-encoding: chunked")
        + chunked(body),
    ):
        provider.clear()
        client.send(wire)
        assert client.reply().status == 200
        got = provider.only()
        assert got.body == body
        assert got.target == "/v1/audio/transcriptions"
        assert got.header("content-type") == MULTIPART.partition(": ")[2]
        client.assert_usable()


@pytest.mark.parametrize("framing", ["content-length: {}", "transfer-encoding: chunked"])
@pytest.mark.parametrize("path", ["/v1/files", "/v1/audio/transcriptions"])
def test_an_upload_that_waits_for_100_gets_it(path: str, framing: str, gateway: Live, client: RawClient, provider: Provider) -> None:
    body = form(("purpose", b"batch"), ("model", MODEL.encode()), ("file", b"z" * 3_000_000))
    lines = framing.format(len(body))
    head = request(path, b"", BEARER, MULTIPART, "expect: 100-continue").replace(b"content-length: 0", lines.encode())
    client.send(head)
    assert client.head().status == 100
    client.send(chunked(body) if "chunked" in lines else body)
    assert client.reply().status == 200
    got = provider.only()
    assert got.body == body
    assert got.header("expect") is None
    client.assert_usable()


def test_a_file_larger_than_any_body_limit_streams_through(gateway: Live, client: RawClient, provider: Provider) -> None:
    body = form(("purpose", b"batch"), ("file", b"z" * (MAX_BODY + 1_000_000)))
    client.send(request("/v1/files", body, BEARER, MULTIPART))
    assert client.reply().status == 200
    assert len(provider.only().body) == len(body)
    client.assert_usable()


def test_head_of_a_passed_path_gets_a_head_alone(gateway: Live, client: RawClient, provider: Provider) -> None:
    provider.says(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n")
    client.send(request("/v1/files/f-1", b"", BEARER, method="HEAD"))
    reply = client.reply(head_request=True)
    assert (reply.status, reply.body) == (200, b"")
    client.assert_usable()
