"""Logs: one line for each attempt, what stands in it, what never does, and a log that cannot be written."""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from edgegate.access.keys import Key
from edgegate.config.model import LogOptions
from edgegate.dialects.base import Progress, Usage
from edgegate.exchange import Attempt, Exchange
from edgegate.observe import logfile, logs
from edgegate.observe.logfile import LogFile, open_log
from edgegate.observe.logs import ExchangeLog
from edgegate.taps import Outcome
from tests.unit.core.parts import CHAIN, CHAT, Provider, completion, exchange, live, providers, reply


def ended(model: str = "gpt-4o", attempts: int = 1, cost: int | None = 1, user: str = "") -> Exchange:
    ex = exchange({"model": model} | {k: v for k, v in CHAT.items() if k != "model"})
    _ = ex.request
    ex.status, ex.outcome, ex.user = 200, Outcome.OK, user
    for number in range(attempts):
        made = Attempt(f"abc-{number + 1}", "openai", "openai", "gpt-4o", 1.0, Progress(usage=Usage(7, 3, reported=True)))
        made.outcome, made.status, made.ended, made.cost_nano_usd = Outcome.OK, 200, 2.0, cost
        ex.attempts.append(made)
    return ex


def written(ex: Exchange, **options: Any) -> list[Any]:
    file = io.BytesIO()
    log = ExchangeLog(LogOptions(**options), file)
    log.exchange(ex)
    log.close()
    lines = file.getvalue().decode().splitlines()
    return lines if options.get("format") == "pretty" else [json.loads(line) for line in lines]


def test_each_attempt_stands_in_exactly_one_line() -> None:
    lines = written(ended(attempts=3))
    assert [line["event"] for line in lines] == ["attempt", "attempt", "request"]
    assert [line["attempt_id"] for line in lines] == ["abc-1", "abc-2", "abc-3"]
    assert all(line["request_id"] == "abc" for line in lines)
    assert lines[-1]["attempts"] == 3


def test_an_exchange_without_an_attempt_is_one_line() -> None:
    (line,) = written(ended(attempts=0))
    assert (line["event"], line["attempts"]) == ("request", 0)
    assert "attempt_id" not in line


@pytest.mark.parametrize(
    ("cost", "shown"),
    [
        (None, None),
        (0, "0.000000000"),
        (1, "0.000000001"),
        (1_500_000_000, "1.500000000"),
        (123_456_789_012_345_678, "123456789.012345678"),
    ],
)
def test_cost_is_a_decimal_exact_to_the_nano_dollar(cost: int | None, shown: str | None) -> None:
    assert written(ended(cost=cost))[0]["cost_usd"] == shown


@pytest.mark.parametrize(("level", "lines"), [("debug", 1), ("info", 1), ("warning", 0), ("error", 0)])
def test_the_level_decides_whether_exchanges_are_logged(level: str, lines: int) -> None:
    assert len(written(ended(), level=level)) == lines


@pytest.mark.parametrize(
    ("options", "shown"),
    [({}, False), ({"prompts": True}, False), ({"level": "debug"}, False), ({"level": "debug", "prompts": True}, True)],
    ids=["default", "not at info", "not unless asked", "asked at debug"],
)
def test_prompts_are_logged_only_where_they_were_asked_for_at_debug(options: dict[str, Any], shown: bool) -> None:
    (line,) = written(ended(), **options)
    assert ("repeat 5" in json.dumps(line)) is shown


def test_text_for_people_is_one_line_without_empty_columns() -> None:
    (line,) = written(ended(), format="pretty")
    assert line.startswith("request")
    assert "status=200" in line
    assert "model=gpt-4o" in line
    assert "None" not in line


def test_a_model_name_with_a_line_break_does_not_forge_a_line() -> None:
    assert len(written(ended(model="x\nrequest  status=200 key=admin"), format="pretty")) == 1
    assert len(written(ended(model="x\nrequest  status=200 key=admin"))) == 1


def test_a_user_that_is_no_utf8_is_logged_all_the_same() -> None:
    """Header values come decoded with surrogate escapes."""
    (line,) = written(ended(user="\udcff"))
    assert line["status"] == 200


def test_a_huge_model_name_is_not_remembered() -> None:
    log = ExchangeLog(LogOptions(), io.BytesIO())
    log.exchange(ended(model="m" * 1_000_000))
    assert max(len(value) for columns in log._remembered for value in columns if isinstance(value, str)) < 10_000


def test_what_is_remembered_of_one_exchange_is_not_told_of_another() -> None:
    file = io.BytesIO()
    log = ExchangeLog(LogOptions(), file)
    expected = []
    for _ in range(2):
        for status, outcome, error in (
            (200, Outcome.OK, ""),
            (500, Outcome.FAILED, "x"),
            (500, Outcome.TIMEOUT, "x"),
            (500, Outcome.FAILED, "y"),
        ):
            for user in ("", "bob"):
                for key in (None, Key("app"), Key("app", tenant="t")):
                    ex = ended(user=user)
                    ex.key = key
                    made = ex.attempts[0]
                    made.status, made.outcome, made.error = status, outcome, error
                    log.exchange(ex)
                    expected.append((status, outcome.value, error or None, user or None, key and key.name, (key and key.tenant) or None))
    log.close()
    names = ("attempt_status", "attempt_outcome", "attempt_error", "user", "key", "tenant")
    assert [tuple(json.loads(line).get(name) for name in names) for line in file.getvalue().splitlines()] == expected


class Broken(io.BytesIO):
    """A file that refuses the first writes."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.refusals = refusals

    def write(self, data: Any) -> int:
        if self.refusals:
            self.refusals -= 1
            raise OSError(32, "Broken pipe")
        return super().write(data)


@pytest.mark.parametrize("refusals", [1, 2, 5])
def test_lines_that_could_not_be_written_are_counted_and_told(refusals: int) -> None:
    """A report that fails as well loses nothing of the count."""
    inner = Broken(refusals)
    file = LogFile(inner)
    wrote = 0
    while inner.refusals:
        file.write(b'{"event":"a"}\n{"event":"b"}\n')
        wrote += 2
        time.sleep(0.03)
    file.write(b'{"event":"c"}\n')
    file.close()
    lines = [json.loads(line) for line in inner.getvalue().splitlines()]
    assert lines.count({"event": "c"}) == 1
    arrived = sum(line["event"] in "ab" for line in lines)
    assert sum(line.get("count", 0) for line in lines) == wrote - arrived > 0


def test_lines_beyond_the_limit_of_memory_are_counted_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "MAX_WAITING_BYTES", 40)
    go = threading.Event()

    class Slow(io.BytesIO):
        def write(self, data: Any) -> int:
            go.wait(5)
            return super().write(data)

    inner = Slow()
    file = LogFile(inner)
    for number in range(10):
        file.write(b'{"event":"%d"}\n' % number)  # 14 bytes
    go.set()
    file.close()
    lines = [json.loads(line) for line in inner.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["0", "1", "log_lines_dropped"]
    assert lines[-1]["count"] == 8


class Stingy(io.BytesIO):
    """A raw file that takes a part of what it is given, as a raw pipe or disk may."""

    def write(self, data: Any) -> int:
        return super().write(bytes(data)[:10])


def test_a_write_that_takes_a_part_loses_none_of_the_rest() -> None:
    inner = Stingy()
    file = LogFile(inner)
    file.write(b'{"event":"request","status":200}\n')
    file.close()
    assert inner.getvalue() == b'{"event":"request","status":200}\n'


async def test_lines_are_written_soon_and_not_one_by_one() -> None:
    file = io.BytesIO()
    log = ExchangeLog(LogOptions(), file)
    log.open()
    log.exchange(ended())
    assert file.getvalue() == b""
    await asyncio.sleep(logs.FLUSH_S + 0.1)
    assert file.getvalue().count(b"\n") == 1
    log.close()


def test_a_log_that_nobody_reads_does_not_stop_the_gateway() -> None:
    """A pipe whose reader sleeps: the event loop must go on."""
    read, write = os.pipe()
    file = LogFile(os.fdopen(write, "wb", buffering=0))

    def drain_late() -> None:
        time.sleep(1.0)
        while os.read(read, 1 << 20):
            pass

    reader = threading.Thread(target=drain_late, daemon=True)
    reader.start()
    log = ExchangeLog(LogOptions(), cast(BinaryIO, file))
    ex = ended()
    began = time.monotonic()
    for _ in range(1000):
        log.exchange(ex)
    log.close()
    took = time.monotonic() - began
    file.close()
    file._file.close()
    reader.join(5)
    os.close(read)
    assert took < 0.5, f"the event loop stood still for {took:.1f} s"


def test_the_file_option_appends(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    file = open_log(LogOptions(file=str(path)))
    log = ExchangeLog(LogOptions(file=str(path)), cast(BinaryIO, file))
    log.exchange(ended())
    log.close()
    file.close()
    assert len(path.read_text().splitlines()) == 2


async def test_neither_prompt_nor_answer_nor_key_is_in_the_log(tmp_path: Path) -> None:
    keys = [{"name": "app", "key": "gw-secret-of-app-1", "tenant": "acme", "user": "bob"}]
    failing: list[Any] = [*CHAIN]
    answers = [reply(completion("THE ANSWER")), reply(b'{"error":{"message":"THE ANSWER","type":"t"}}', 500), reply(b"THE ANSWER", 200)]
    async with (
        Provider(*answers) as origin,
        live({"providers": providers(origin.url), "keys": keys, "chain": failing}, tmp_path) as gateway,
    ):
        for _ in range(3):
            await gateway.post(
                body=CHAT | {"messages": [{"role": "user", "content": "THE PROMPT"}]}, headers={"x-api-key": "gw-secret-of-app-1"}
            )
        await gateway.post(headers={"x-api-key": "gw-wrong-secret-22"})
        await gateway.post(body=b'{"model": "THE PROMPT', headers={"x-api-key": "gw-secret-of-app-1"})
        lines = gateway.lines()
    text = gateway.log.getvalue().decode()
    for never in ("THE PROMPT", "THE ANSWER", "gw-secret-of-app-1", "gw-wrong-secret-22", "provider-secret-one"):
        assert never not in text
    first, failed, bad, refused, broken = lines
    assert (first["key"], first["tenant"], first["user"]) == ("app", "acme", "bob")
    assert (failed["attempt_status"], failed["error_source"], failed["cost_usd"]) == (500, "provider", failed["cost_usd"])
    assert (bad["status"], bad["attempt_outcome"]) == (502, "failed")
    assert (refused["status"], refused["error"], refused["attempts"]) == (401, "invalid_api_key", 0)
    assert (broken["status"], broken["error"], broken["attempts"]) == (400, "invalid_json", 0)
