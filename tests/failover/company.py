"""Runs plays side by side, the long ones first, and writes each record as a line of JSON as soon as it is there.

Side by side because most of their time is waiting: for a silence to end, for an outage to pass. The starts are spread, so that no
scenario's time is another's work. And the gateways share one tokenizer, as the callers of a single gateway do: hundreds of loads,
half a second each, would be the work of all.
"""

from __future__ import annotations

import asyncio
import functools
import json
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

from edgegate.tokens import count
from tests.failover.caller import Heard
from tests.failover.scenarios import PLAYS, Play
from tests.failover.stand import Record, Seen

AT_ONCE = 12
"""Short runs at once."""


SPREAD_S = 0.2
"""Between the starts of long ones, many of which wait for the same time limit."""


async def perform(names: Iterable[str], finished: Callable[[Record], None]) -> list[Record]:
    """Runs the plays of these names. The last record is `the loop`: what the event loop and the gateways' logs complain of."""
    with mock.patch.object(count, "load", functools.cache(count.load)):
        return await _perform(names, finished)


async def _perform(names: Iterable[str], finished: Callable[[Record], None]) -> list[Record]:
    plays = sorted((PLAYS[name] for name in names), key=lambda play: (not play.long, play.fault != "s15"))
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: complaints.append(f"{context.get('message')}: {context.get('exception')!r}")
    )
    room = asyncio.Semaphore(AT_ONCE)
    records: list[Record] = []

    async def one(play: Play) -> None:
        record = await _safely(play)
        records.append(record)
        finished(record)

    async def short(play: Play) -> None:
        async with room:
            await one(play)

    tasks = []
    for play in plays:
        tasks.append(asyncio.create_task(one(play) if play.long else short(play)))
        await asyncio.sleep(SPREAD_S if play.long else 0)
    await asyncio.gather(*tasks)
    complaints += [fault for record in records for fault in record.faults]
    last = Record("the loop", "", failure="\n".join(complaints))
    records.append(last)
    finished(last)
    return records


async def _safely(play: Play) -> Record:
    try:
        return await play.run()
    except Exception:
        return Record(play.name, play.primary, failure=traceback.format_exc()[-3000:])


def write(record: Record, file: Path) -> None:
    with file.open("a") as out:
        out.write(json.dumps(asdict(record)) + "\n")


def read(file: Path) -> dict[str, Record]:
    """The records written so far."""
    found = {}
    for line in file.read_text().splitlines(keepends=True) if file.exists() else []:
        if line.endswith("\n"):
            record = _record(json.loads(line))
            found[record.name] = record
    return found


def _record(value: dict[str, Any]) -> Record:
    value["calls"] = [Heard(**heard) for heard in value["calls"]]
    value["attempts"] = [Seen(**seen) for seen in value["attempts"]]
    value["after"] = Heard(**value["after"]) if value["after"] else None
    return Record(**value)
