"""Tokens that run out: from a file that is renewed, and from a command; what reaches the provider, and what no error shows."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from edgegate.errors import GatewayError
from edgegate.upstream.bearer import CommandToken, FileToken
from tests.unit.core.parts import Clock, Provider, live, providers, until


def line(token: FileToken | CommandToken) -> bytes:
    ((name, value),) = token.lines("POST", "host", "/", [], b"")
    assert name == b"authorization"
    return value


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file, clock = tmp_path / "token", Clock()
    file.write_text("first\n")
    token = FileToken(str(file), clock)
    await token.refresh()
    assert line(token) == b"Bearer first"
    file.write_text("the-second\n")
    await token.refresh()
    assert line(token) == b"Bearer first"
    clock.now += 11
    await token.refresh()
    assert line(token) == b"Bearer the-second"


async def test_the_last_token_stays_while_the_file_is_gone(tmp_path: Path) -> None:
    file, clock = tmp_path / "token", Clock()
    file.write_text("good")
    token = FileToken(str(file), clock)
    await token.refresh()
    file.unlink()
    clock.now += 11
    await token.refresh()
    assert line(token) == b"Bearer good"


@pytest.mark.parametrize("content", [None, b"", b"two words", b"two\nlines", b"\xff\xfe", b"caf\xc3\xa9"])
async def test_a_file_without_a_token_is_an_error_that_does_not_quote_it(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(GatewayError) as caught:
        await FileToken(str(file), Clock()).refresh()
    assert (caught.value.status, caught.value.code) == (502, "credentials_unavailable")
    assert "two" not in caught.value.message


def command(script: str) -> tuple[str, ...]:
    return (sys.executable, "-c", script)


async def test_a_command_runs_once_for_all_that_wait_and_again_when_its_token_is_old(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("")
    script = f"import pathlib; p = pathlib.Path({str(count)!r}); p.write_text(p.read_text() + 'x'); print('t-' + p.read_text())"
    clock = Clock()
    token = CommandToken(command(script), 60, clock)
    await asyncio.gather(*(token.refresh() for _ in range(20)))
    assert line(token) == b"Bearer t-x"
    clock.now += 59
    await token.refresh()
    assert line(token) == b"Bearer t-x"
    clock.now += 2
    await token.refresh()
    assert line(token) == b"Bearer t-xx"


async def test_a_caller_that_leaves_takes_nobody_elses_token_along() -> None:
    token = CommandToken(command("import time; time.sleep(0.3); print('late')"), 60, Clock())
    leaving = asyncio.create_task(token.refresh())
    staying = asyncio.create_task(token.refresh())
    await until(lambda: token._run is not None)
    leaving.cancel()
    await staying
    assert line(token) == b"Bearer late"


@pytest.mark.parametrize("script", ["raise SystemExit('secret words')", "print()", "print('secret words')"])
async def test_a_command_that_fails_is_an_error_that_quotes_nothing(script: str) -> None:
    with pytest.raises(GatewayError) as caught:
        await CommandToken(command(script), 60, Clock()).refresh()
    assert caught.value.code == "credentials_unavailable"
    assert "secret" not in caught.value.message


async def test_a_command_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(GatewayError, match="cannot be run"):
        await CommandToken(("/nonexistent/printer",), 60, Clock()).refresh()


async def test_a_failed_renewal_leaves_the_last_token_in_use(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    script = f"import pathlib, sys; p = pathlib.Path({str(flag)!r}); sys.exit(1) if p.exists() else (p.write_text(''), print('good'))"
    clock = Clock()
    token = CommandToken(command(script), 60, clock)
    await token.refresh()
    clock.now += 61
    await token.refresh()
    assert line(token) == b"Bearer good"


async def test_the_provider_gets_the_token_on_translated_and_relayed_paths(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("token-in-a-file")
    async with Provider() as origin:
        made = providers(origin.url)
        del made["one"]["api_key"]
        made["one"]["token_file"] = str(file)
        async with live({"providers": made}, tmp_path) as gateway:
            assert (await gateway.post())[0] == 200
            assert (await gateway.get("/one/v1/files"))[0] == 200
            file.unlink()
    assert [seen.header("authorization") for seen in origin.seen] == ["Bearer token-in-a-file"] * 2


async def test_without_a_token_the_caller_learns_that_it_is_the_gateways_fault(tmp_path: Path) -> None:
    async with Provider() as origin:
        made = providers(origin.url)
        made["one"]["token_file"] = str(tmp_path / "missing")
        async with live({"providers": made}, tmp_path) as gateway:
            status, _, head = await gateway.post()
    assert (status, head["x-edgegate-error-source"], origin.seen) == (502, "gateway", [])
