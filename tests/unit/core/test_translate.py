"""translate and forward: what reaches the provider, byte for byte where nothing is translated, and what never does."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from edgegate.stages.forward import _relayed_path
from edgegate.upstream.origin import Origin, Upstream
from tests.unit.core.parts import CHAIN, CHAT, MESSAGES, STREAM, USAGE_CHUNK, Provider, Seen, chunk, completion, live, providers, reply, sse

GATEWAY_KEY = "gw-key-of-the-caller-1"
ODD = (
    b'{ "model" :\t"fast", "messages":[{"role":"user","content":"caf\\u00e9 \xe2\x98\x83"}],\n'
    b' "seed": 7, "x_big": 36893488147419103233, "x_unknown": {"b":1.0,"a":1e30, "b":2}, "temperature":0.10 }'
)


async def sent(
    tmp_path: Path,
    body: Any,
    *,
    path: str = "/v1/chat/completions",
    headers: dict[str, str] | None = None,
    answer: bytes = b"",
    **config: Any,
) -> tuple[Seen, int, bytes, Any]:
    """What the provider `one` got for a request, and what the client got."""
    async with Provider(answer or reply(completion())) as origin:
        made = {"providers": providers(origin.url)} | {
            name: value(origin.url) if callable(value) else value for name, value in config.items()
        }
        async with live(made, tmp_path) as gateway:
            status, got, head = await gateway.post(path, body, headers)
            assert not gateway.faults()
        assert len(origin.seen) == 1, got
        return origin.seen[0], status, got, head


# -- nothing is translated


async def test_a_request_without_edits_goes_out_as_it_came(tmp_path: Path) -> None:
    body = ODD.replace(b'"fast"', b'"gpt-4o"')
    seen, status, _, _ = await sent(tmp_path, body)
    assert (status, seen.body, seen.path) == (200, body, "/v1/chat/completions")


async def test_an_alias_changes_the_models_name_and_no_other_byte(tmp_path: Path) -> None:
    seen, status, _, _ = await sent(tmp_path, ODD, models={"aliases": {"fast": "one/gpt-4o"}})
    assert status == 200
    assert seen.body == ODD.replace(b'"fast"', b'"gpt-4o"')


async def test_a_plain_reply_comes_back_as_it_is(tmp_path: Path) -> None:
    odd = completion().replace(b'"created": 1', b'"created" : 36893488147419103233, "x":"\\u00e9"')
    _, _, got, head = await sent(tmp_path, CHAT, answer=reply(odd))
    assert got == odd
    assert int(head["content-length"]) == len(odd)


@pytest.mark.parametrize("name", ["x-budget-key", "x-cache", "x-routing-strategy", "x-prefer-provider"])
async def test_a_field_for_the_gateway_is_cut_out_and_nothing_else(tmp_path: Path, name: str) -> None:
    body = ODD.replace(b'"fast"', b'"gpt-4o"').replace(b' "seed"', f' "{name}": "{GATEWAY_KEY}", "seed"'.encode())
    seen, _, _, _ = await sent(tmp_path, body, keys=[{"name": "k", "key": GATEWAY_KEY}], headers={"x-api-key": GATEWAY_KEY})
    assert b"36893488147419103233" in seen.body
    assert b'"b":1.0,"a":1e30, "b":2' in seen.body
    assert name.encode() not in seen.body
    assert GATEWAY_KEY.encode() not in seen.raw


async def test_a_stream_is_asked_for_its_usage_which_the_client_does_not_see(tmp_path: Path) -> None:
    seen, _, got, _ = await sent(tmp_path, CHAT | {"stream": True}, answer=sse(STREAM))
    assert seen.json["stream_options"] == {"include_usage": True}
    assert got == STREAM.replace(USAGE_CHUNK, b"")


@pytest.mark.parametrize(
    "options", [None, {}, {"include_usage": False}, {"include_usage": None}], ids=["null", "empty", "false", "null flag"]
)
async def test_stream_options_are_kept_but_for_the_usage(tmp_path: Path, options: Any) -> None:
    given = options if not isinstance(options, dict) else options | {"include_obfuscation": False}
    seen, status, got, _ = await sent(tmp_path, CHAT | {"stream": True, "stream_options": given}, answer=sse(STREAM))
    assert status == 200
    assert seen.json["stream_options"] == ({"include_obfuscation": False} if given else {}) | {"include_usage": True}
    assert USAGE_CHUNK not in got


async def test_a_client_that_asked_for_the_usage_gets_the_stream_as_it_is(tmp_path: Path) -> None:
    body = json.dumps(CHAT | {"stream": True, "stream_options": {"include_usage": True}}).encode()
    seen, _, got, _ = await sent(tmp_path, body, answer=sse(STREAM))
    assert (seen.body, got) == (body, STREAM)


async def test_the_usage_of_a_stripped_chunk_is_metered(tmp_path: Path) -> None:
    async with Provider(sse(STREAM)) as origin, live({"providers": providers(origin.url)}, tmp_path) as gateway:
        await gateway.post(body=CHAT | {"stream": True})
        (line,) = gateway.lines()
    assert (line["usage"], line["input_tokens"], line["output_tokens"]) == ("reported", 7, 3)


# -- credentials and headers


async def test_the_callers_credentials_are_replaced_by_the_providers(tmp_path: Path) -> None:
    headers = {
        "Authorization": f"Bearer {GATEWAY_KEY}",
        "x-api-key": GATEWAY_KEY,
        "api-key": GATEWAY_KEY,
        "x-goog-api-key": GATEWAY_KEY,
        "Cookie": f"k={GATEWAY_KEY}",
        "Proxy-Authorization": f"Basic {GATEWAY_KEY}",
        "X-User-ID": GATEWAY_KEY,
    }
    seen, _, _, _ = await sent(tmp_path, CHAT, headers=headers, keys=[{"name": "k", "key": GATEWAY_KEY}])
    assert seen.all("authorization") == ["Bearer provider-secret-one"]
    assert GATEWAY_KEY.encode() not in seen.raw


@pytest.mark.parametrize("dialect", ["openai", "mistral", "ollama", "gemini", "together", "groq", "anthropic"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages"])
async def test_a_key_in_the_body_reaches_no_provider_of_any_dialect(tmp_path: Path, dialect: str, path: str) -> None:
    body: dict[str, Any] = {"model": "m-1", "x-budget-key": GATEWAY_KEY}
    body |= {"/v1/completions": {"prompt": "x"}, "/v1/embeddings": {"input": "x"}}.get(path, MESSAGES | {"model": "m-1"})
    async with Provider(reply(b"{}")) as origin:
        config = {
            "keys": [{"name": "k", "key": GATEWAY_KEY}],
            "providers": {"p": {"dialect": dialect, "base_url": origin.url, "api_key": "provider-secret", "models": ["m-1"]}},
        }
        async with live(config, tmp_path) as gateway:
            await gateway.post(path, body)
            assert not gateway.faults()
            (line,) = gateway.lines()
        assert line["key"] == "k", "it was accepted as the caller's key"
        assert not [seen.path for seen in origin.seen if GATEWAY_KEY.encode() in seen.raw]


async def test_a_field_for_the_gateway_is_not_reported_as_dropped(tmp_path: Path) -> None:
    """It was not lost: the gateway used it."""
    answer = reply(b'{"candidates":[{"content":{"parts":[{"text":"hi"}],"role":"model"},"finishReason":"STOP"}]}')
    _, status, _, head = await sent(
        tmp_path,
        CHAT | {"x-cache": False},
        answer=answer,
        providers=lambda url: {"one": {"dialect": "gemini", "base_url": url, "api_key": "k", "models": ["gpt-4o"]}},
    )
    assert status == 200
    assert "x-cache" not in head.get("x-edgegate-dropped", "")


async def test_a_key_in_the_query_does_not_reach_the_provider_of_a_relayed_path(tmp_path: Path) -> None:
    chain: list[Any] = [{"auth": {"query": True}}, *CHAIN[1:]]
    async with Provider(reply(b"{}")) as origin:
        config = {"chain": chain, "keys": [{"name": "k", "key": GATEWAY_KEY}], "providers": providers(origin.url)}
        async with live(config, tmp_path) as gateway:
            status, _, _ = await gateway.get(f"/one/v1/files?limit=3&api_key={GATEWAY_KEY}&key={GATEWAY_KEY}")
        assert status == 200
        assert origin.seen[0].path.startswith("/v1/files?limit=3")
        assert GATEWAY_KEY.encode() not in origin.seen[0].raw


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/one/v1/chat/completions"], ids=["spoken", "relayed"])
@pytest.mark.parametrize("status", [401, 400])
async def test_a_provider_key_that_the_provider_quotes_does_not_reach_the_client(tmp_path: Path, path: str, status: int) -> None:
    quoted = json.dumps(
        {"error": {"message": "Incorrect API key provided: provider-secret-one.", "type": "invalid_request_error"}}
    ).encode()
    _, got_status, got, head = await sent(tmp_path, CHAT, path=path, answer=reply(quoted, status))
    assert got_status == status
    assert b"provider-secret-one" not in got
    assert "provider-secret-one" not in str(head)
    assert b"Incorrect API key" in got


async def test_a_provider_key_quoted_in_a_streams_error_does_not_reach_the_client(tmp_path: Path) -> None:
    event = b'data: {"error":{"message":"bad key provider-secret-one","type":"server_error"}}\n\n'
    _, _, got, _ = await sent(tmp_path, CHAT | {"stream": True}, answer=sse(chunk("a") + event))
    assert b"error" in got
    assert b"provider-secret-one" not in got


async def test_the_clients_version_and_betas_win_over_ours(tmp_path: Path) -> None:
    answer = reply(b'{"id":"m","type":"message","role":"assistant","model":"c","content":[],"stop_reason":"end_turn","usage":{}}')
    kept = {"anthropic-version": "2024-10-22", "anthropic-beta": "a-1,b-2"}
    made = lambda url: {"one": {"dialect": "anthropic", "base_url": url, "api_key": "k-anthropic", "models": ["gpt-4o"]}}  # noqa: E731
    seen, _, _, _ = await sent(tmp_path, MESSAGES, path="/v1/messages", headers=kept, answer=answer, providers=made)
    assert (seen.all("anthropic-version"), seen.all("anthropic-beta"), seen.all("x-api-key")) == (
        ["2024-10-22"],
        ["a-1,b-2"],
        ["k-anthropic"],
    )
    seen, _, _, _ = await sent(tmp_path, MESSAGES, path="/v1/messages", answer=answer, providers=made)
    assert seen.all("anthropic-version") == ["2023-06-01"]


async def test_further_configured_headers_are_sent_and_the_client_does_not_replace_them(tmp_path: Path) -> None:
    seen, _, _, _ = await sent(
        tmp_path,
        CHAT,
        headers={"OpenAI-Organization": "mine", "X-Title": "app"},
        providers=lambda url: providers(url, headers={"OpenAI-Organization": "ours", "X-Extra": "7"}),
    )
    assert (seen.all("openai-organization"), seen.all("x-extra"), seen.all("x-title")) == (["ours"], ["7"], ["app"])


async def test_a_configured_authorization_replaces_the_one_made_of_the_key(tmp_path: Path) -> None:
    """Two Authorization lines are read by each server as it likes; most refuse them."""
    seen, _, _, _ = await sent(tmp_path, CHAT, providers=lambda url: providers(url, headers={"Authorization": "Basic own"}))
    assert seen.all("authorization") == ["Basic own"]


async def test_correlation_headers_pass_and_others_do_not(tmp_path: Path) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"traceparent": trace, "tracestate": "a=b", "X-Request-ID": "mine-1", "baggage": "secret=1", "X-Forwarded-For": "1.2.3.4"}
    seen, _, _, head = await sent(tmp_path, CHAT, headers=headers)
    assert (seen.header("traceparent"), seen.header("tracestate"), seen.header("x-request-id")) == (trace, "a=b", "mine-1")
    assert seen.header("baggage") is None
    assert seen.header("x-forwarded-for") is None
    assert head["x-request-id"] == "mine-1"
    assert seen.all("accept-encoding") == ["identity"]


async def test_the_trace_id_is_in_the_log(tmp_path: Path) -> None:
    async with Provider() as origin, live({"providers": providers(origin.url)}, tmp_path) as gateway:
        await gateway.post(headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
        (line,) = gateway.lines()
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async with Provider() as elsewhere:
        _, status, got, _ = await sent(tmp_path, CHAT, answer=reply(b"", 307, location=f"{elsewhere.url}/x"))
        assert elsewhere.seen == []
    assert status == 502
    assert json.loads(got)["error"]


async def test_a_retry_after_of_the_provider_is_passed_on(tmp_path: Path) -> None:
    limited = reply(b'{"error":{"message":"m","type":"t","code":"c"}}', 429, retry_after="2.2")
    _, status, _, head = await sent(tmp_path, CHAT, answer=limited)
    assert status == 429
    assert int(head["retry-after"]) >= 3 or head["retry-after"] == "2.2"


@pytest.mark.parametrize("status", [201, 202, 206, 204, 304, 301])
async def test_a_success_that_is_no_answer_is_a_bad_reply(tmp_path: Path, status: int) -> None:
    body = b"" if status in (204, 304) else completion()
    answer = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n".encode()
    answer += b"\r\n" if status in (204, 304) else b"content-length: %d\r\n\r\n%b" % (len(body), body)
    _, got, _, _ = await sent(tmp_path, CHAT, answer=answer)
    assert got == 502


# -- translated


async def test_what_could_not_be_carried_is_named(tmp_path: Path) -> None:
    answer = reply(
        b'{"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"hi"}],'
        b'"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}'
    )
    _, status, got, head = await sent(
        tmp_path,
        CHAT | {"logit_bias": {"1": 1}},
        answer=answer,
        providers=lambda url: {"one": {"dialect": "anthropic", "base_url": url, "api_key": "k", "models": ["gpt-4o"]}},
    )
    assert status == 200
    assert json.loads(got)["choices"][0]["message"]["content"] == "hi"
    assert "logit_bias" in head["x-edgegate-dropped"].split(",")


@pytest.mark.parametrize("packed", [False, True], ids=["floats", "base64"])
@pytest.mark.parametrize(
    ("dialect", "answer", "path"),
    [
        ("ollama", b'{"model":"e","embeddings":[[0.5,-1.0],[0.25,2.0]],"prompt_eval_count":4}', "/api/embed"),
        ("gemini", b'{"embeddings":[{"values":[0.5,-1.0]},{"values":[0.25,2.0]}]}', "/v1beta/models/e:batchEmbedContents"),
    ],
    ids=["ollama", "gemini"],
)
async def test_embeddings_through_another_dialect(tmp_path: Path, dialect: str, answer: bytes, path: str, packed: bool) -> None:
    body: dict[str, Any] = {"model": "e", "input": ["a", "b"]} | ({"encoding_format": "base64"} if packed else {})
    seen, status, got, _ = await sent(
        tmp_path,
        body,
        path="/v1/embeddings",
        answer=reply(answer),
        providers=lambda url: {"one": {"dialect": dialect, "base_url": url, "api_key": "k", "models": ["e"]}},
    )
    assert (status, seen.path) == (200, path)
    reply_json = json.loads(got)
    vectors = [item["embedding"] for item in reply_json["data"]]
    if packed:
        vectors = [list(struct.unpack("<2f", base64.b64decode(vector))) for vector in vectors]
    assert vectors == [[0.5, -1.0], [0.25, 2.0]]
    assert [item["index"] for item in reply_json["data"]] == [0, 1]


async def test_embeddings_that_ask_for_a_stream_do_not_confuse_anybody(tmp_path: Path) -> None:
    body = {"model": "text-embedding-3-small", "input": "x", "stream": True}
    vectors = b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1.0]}],"model":"e"}'
    async with Provider(reply(vectors)) as origin, live({"providers": providers(origin.url)}, tmp_path) as gateway:
        status, got, _ = await gateway.post("/v1/embeddings", body)
        assert not gateway.faults()
    assert status in (200, 400), got


async def test_a_model_name_that_is_no_ascii_travels_in_a_path(tmp_path: Path) -> None:
    answer = reply(b'{"candidates":[{"content":{"parts":[{"text":"hi"}],"role":"model"},"finishReason":"STOP"}]}')
    seen, status, _, head = await sent(
        tmp_path,
        CHAT | {"model": "one/mödel x"},
        answer=answer,
        providers=lambda url: {"one": {"dialect": "gemini", "base_url": url, "api_key": "k"}},
    )
    assert status == 200
    assert "m%C3%B6del%20x" in seen.path
    assert head["x-edgegate-model"] == "m?del x"


# -- addresses


@pytest.mark.parametrize(
    ("url", "authority", "base"),
    [
        ("http://h", "h", ""),
        ("http://h:80/", "h", ""),
        ("https://h:443/v1/", "h", "/v1"),
        ("https://h:80/v1", "h:80", "/v1"),
        ("http://[::1]:8080/a/b", "[::1]:8080", "/a/b"),
    ],
)
def test_an_origin_says_where_and_below_what(url: str, authority: str, base: str) -> None:
    origin = Origin.parse(url)
    assert (origin.authority, origin.base) == (authority, base)


@pytest.mark.parametrize("url", ["", "h", "ftp://h", "http://", "http://u:p@h", "http://h?x=1", "http://h/#f", "http://h:99999"])
def test_what_is_no_address_of_a_provider_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Origin.parse(url)


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        ("/v1", "/v1/files", "/v1/files"),
        ("/v1", "/files", "/v1/files"),
        ("/v1", "/v1beta/x", "/v1/v1beta/x"),
        ("", "/v1/files", "/v1/files"),
        ("/openai/v1", "/v1/files", "/openai/v1/files"),
        ("/openai/v1", "/openai/v1/files", "/openai/v1/files"),
        ("/api", "/v1/files", "/api/v1/files"),
    ],
)
def test_a_relayed_path_may_repeat_the_base_path(base: str, path: str, expected: str) -> None:
    assert _relayed_path(base, path) == expected


async def test_a_head_has_each_fixed_line_once_and_host_first() -> None:
    import asyncio

    fixed = [(b"authorization", b"Bearer k")]
    upstream = Upstream(Origin.parse("http://h/v1"), [fixed], [(b"anthropic-version", b"1")], 1, "", asyncio.get_running_loop())
    head = upstream.head(b"POST", b"/v1/x", [(b"host", b"evil"), (b"authorization", b"no"), (b"content-length", b"9"), (b"x", b"y")], 3)
    assert head == (
        b"POST /v1/x HTTP/1.1\r\nhost: h\r\nauthorization: Bearer k\r\nx: y\r\nanthropic-version: 1\r\ncontent-length: 3\r\n\r\n"
    )
    assert b"anthropic-version: 2\r\n" in upstream.head(b"GET", b"/", [(b"anthropic-version", b"2")], -1)
    assert upstream.head(b"GET", b"/", [(b"anthropic-version", b"2")], -1).count(b"anthropic-version") == 1
    assert b"transfer-encoding: chunked\r\n\r\n" in upstream.head(b"POST", b"/", [], None)
