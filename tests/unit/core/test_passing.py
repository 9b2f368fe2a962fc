"""Paths that are passed through: whose they are, which provider gets them, and what is changed on the way (only the model)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgegate.routing.passing import Named, Passed, passed
from tests.unit.core.parts import Provider, live, providers, reply

BODY, NOWHERE, PATH = Named.BODY, Named.NOWHERE, Named.PATH
PICTURE = {"model": "painter", "prompt": "a cat", "x": 36893488147419103233}
ALIAS = {"aliases": {"painter": "two/gpt-image-1"}}
USAGE = {"usage": {"input_tokens": 11, "output_tokens": 22, "total_tokens": 33}, "data": []}


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/v1/images/generations", {}, Passed("openai", BODY)),
        ("/images/generations", {}, Passed("openai", BODY)),
        ("/v1/audio/transcriptions", {}, Passed("openai", BODY)),
        ("/v1/moderations", {}, Passed("openai", BODY)),
        ("/v1/files", {}, Passed("openai", NOWHERE)),
        ("/v1/files/file-1/content", {}, Passed("openai", NOWHERE)),
        ("/v1/batches/b/cancel", {}, Passed("openai", NOWHERE)),
        ("/v1/responses/resp_1", {}, Passed("openai", NOWHERE)),
        ("/v1/files", {"anthropic-version": "2023-06-01"}, Passed("anthropic", NOWHERE)),
        ("/v1/messages/batches", {}, Passed("anthropic", NOWHERE)),
        ("/v1beta/files", {}, Passed("gemini", NOWHERE)),
        ("/upload/v1beta/files", {}, Passed("gemini", NOWHERE)),
        ("/v1beta/models/imagen-4:predict", {}, Passed("gemini", PATH, "imagen-4")),
        ("/v1beta/models/gemini/imagen-4:predict", {}, Passed("gemini", PATH, "gemini/imagen-4")),
        ("/v1beta/models/:predict", {}, None),
        ("/v1/tokenize", {}, Passed("cohere", BODY)),
        ("/v1/organization/users", {}, None),
        ("/v1/filesystem", {}, None),
        ("/v1/files/../organization", {}, None),
        ("/v1/files/%2e%2e/organization", {}, None),
        ("/v1/files/..%5corganization", {}, None),
        ("/", {}, None),
    ],
)
def test_whose_path_it_is(path: str, headers: dict[str, str], expected: Passed | None) -> None:
    assert passed(path, headers) == expected


async def sent(
    tmp_path: Path,
    path: str,
    body: bytes = b"",
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    answer: Any = None,
    **config: Any,
) -> tuple[list[list[Any]], int, bytes, dict[str, Any]]:
    """What the providers `one` and `two` got, what the client got, and the line in the log."""
    answers = reply(json.dumps(answer if answer is not None else USAGE).encode())
    async with Provider(answers) as one, Provider(answers) as two:
        made = {"providers": providers(one.url, two.url)} | config
        for name, more in made.pop("more", {}).items():
            made["providers"].setdefault(name, {}).update(more)
        async with live(made, tmp_path) as gateway:
            async with gateway.http.request(method, gateway.url + path, data=body or None, headers=headers) as response:
                got = await response.read()
            assert not gateway.faults()
            return [one.seen, two.seen], response.status, got, gateway.lines()[-1]


async def test_a_picture_goes_to_the_provider_of_its_model_which_alone_is_renamed(tmp_path: Path) -> None:
    body = json.dumps(PICTURE).encode()
    (one, two), status, got, line = await sent(tmp_path, "/v1/images/generations", body, models=ALIAS)
    assert (status, json.loads(got)) == (200, USAGE)
    assert one == []
    assert (two[0].path, two[0].body) == ("/v1/images/generations", body.replace(b"painter", b"gpt-image-1"))
    assert two[0].header("authorization") == "Bearer provider-secret-two"
    assert (line["requested_model"], line["model"], line["input_tokens"], line["output_tokens"]) == ("painter", "gpt-image-1", 11, 22)


async def test_an_upload_goes_by_the_model_in_its_form_field(tmp_path: Path) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\x00\xff--b-\r\n'
    form += b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\npainter\r\n--b--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=b"}
    (one, two), status, _, _ = await sent(tmp_path, "/v1/audio/transcriptions", form, headers=headers, models=ALIAS)
    assert (status, one) == (200, [])
    assert two[0].body == form.replace(b"painter", b"gpt-image-1")
    assert two[0].header("content-type") == "multipart/form-data; boundary=b"
    assert two[0].header("content-length") == str(len(two[0].body))


async def test_what_names_no_model_goes_to_the_first_provider_of_the_family(tmp_path: Path) -> None:
    (one, two), status, _, _ = await sent(tmp_path, "/v1/files?limit=2", method="GET")
    assert (status, one[0].path, two) == (200, "/v1/files?limit=2", [])


async def test_the_caller_may_name_the_provider_of_a_path_without_a_model(tmp_path: Path) -> None:
    (one, two), status, _, _ = await sent(tmp_path, "/v1/files", b"bytes", headers={"x-edgegate-provider": "two"})
    assert (status, one, two[0].body) == (200, [], b"bytes")
    _, status, got, _ = await sent(tmp_path, "/v1/files", method="GET", headers={"x-edgegate-provider": "nobody"})
    assert (status, b"no provider named 'nobody'" in got) == (404, True)


async def test_a_provider_that_is_not_relayed_to_gets_none_of_these_paths(tmp_path: Path) -> None:
    (one, two), status, _, _ = await sent(tmp_path, "/v1/files", method="GET", more={"one": {"relay": False}})
    assert (status, one, len(two)) == (200, [], 1)
    _, status, _, _ = await sent(
        tmp_path, "/v1/images/generations", json.dumps(PICTURE).encode(), models=ALIAS, more={"two": {"relay": False}}
    )
    assert status == 404


async def test_a_path_of_a_family_that_nobody_speaks_is_not_found(tmp_path: Path) -> None:
    (one, two), status, got, _ = await sent(tmp_path, "/v1/messages/batches", b"{}")
    assert (status, one, two) == (404, [], [])
    assert json.loads(got)["error"]["type"] == "not_found_error"


async def test_a_key_for_one_model_may_use_it_on_these_paths_and_no_other(tmp_path: Path) -> None:
    keys = [{"name": "k", "key": "key-of-the-caller", "models": ["painter"]}]
    headers = {"authorization": "Bearer key-of-the-caller"}
    body = json.dumps(PICTURE).encode()
    _, status, _, _ = await sent(tmp_path, "/v1/images/generations", body, headers=headers, models=ALIAS, keys=keys)
    assert status == 200
    other = body.replace(b"painter", b"two/other")
    (_, two), status, _, _ = await sent(tmp_path, "/v1/images/generations", other, headers=headers, models=ALIAS, keys=keys)
    assert (status, two) == (403, [])
    _, status, _, _ = await sent(tmp_path, "/v1/files", method="GET", headers=headers, models=ALIAS, keys=keys)
    assert status == 403


@pytest.mark.parametrize("name", ["x-budget-key", "x-cache"])
async def test_a_field_for_the_gateway_is_cut_out(tmp_path: Path, name: str) -> None:
    body = json.dumps(PICTURE | {name: "secret-of-the-gateway"}).encode()
    (_, two), status, _, _ = await sent(tmp_path, "/v1/images/generations", body, models=ALIAS)
    assert status == 200
    assert two[0].json == PICTURE | {"model": "gpt-image-1"}
    assert b"36893488147419103233" in two[0].body


@pytest.mark.parametrize(
    ("options", "path", "there"),
    [
        ({"dialect": "azure"}, "/v1/images/generations", "/openai/v1/images/generations"),
        ({"dialect": "azure", "api_version": "preview"}, "/v1/files", "/openai/v1/files?api-version=preview"),
        (
            {"dialect": "azure", "api_version": "2025-04-01-preview"},
            "/v1/images/generations",
            "/openai/deployments/my%20pictures/images/generations?api-version=2025-04-01-preview",
        ),
        ({"dialect": "azure", "api_version": "2025-04-01-preview"}, "/v1/files", "/openai/files?api-version=2025-04-01-preview"),
        ({"dialect": "mistral"}, "/v1/audio/transcriptions", "/v1/audio/transcriptions"),
        ({"dialect": "gemini"}, "/v1beta/models/painter:predict", "/v1beta/models/my%20pictures:predict"),
        (
            {"dialect": "vertex", "project": "p", "location": "us-central1", "api_key": "token"},
            "/v1beta/models/painter:predict",
            "/v1beta1/projects/p/locations/us-central1/publishers/google/models/my%20pictures:predict",
        ),
        ({"dialect": "gemini"}, "/v1beta/files", "/v1beta/files"),
    ],
    ids=["azure v1", "azure preview", "azure dated", "azure dated, files", "mistral", "gemini", "vertex", "gemini files"],
)
async def test_a_path_lies_where_the_provider_has_it(tmp_path: Path, options: dict[str, Any], path: str, there: str) -> None:
    async with Provider(reply(b"{}")) as origin:
        base = origin.url + ("/v1" if options["dialect"] == "mistral" else "")
        provider = {"base_url": base, "api_key": "k", "deployments": {"painter": "my pictures"}} | options
        async with live({"providers": {"one": provider}}, tmp_path) as gateway:
            status, got, _ = await gateway.post(path, body={"model": "painter"})
            assert status == 200, got
            assert (await gateway.post(path + "?a=b", body={"model": "painter"}))[0] == 200
    assert [seen.path for seen in origin.seen] == [there, f"{there}{'&' if '?' in there else '?'}a=b"]


async def test_a_model_that_is_no_string_is_a_bad_request(tmp_path: Path) -> None:
    (one, two), status, got, _ = await sent(tmp_path, "/v1/images/generations", b'{"model": 3}')
    assert (status, json.loads(got)["error"]["param"], one, two) == (400, "model", [], [])


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
async def test_a_body_that_is_no_json_is_a_bad_request(tmp_path: Path, body: bytes) -> None:
    (one, two), status, got, _ = await sent(tmp_path, "/v1/images/generations", body)
    assert (status, json.loads(got)["error"]["code"], one, two) == (400, "invalid_json", [], [])
