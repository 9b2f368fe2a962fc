"""What dead processes leave behind is found, charged and given back, once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from edgegate.access.counters import Counter, Kind, Scope, Unit
from edgegate.access.grants import Grant, Unknown, Want
from edgegate.access.rules import today
from edgegate.ledger.recovery import Recovery, past
from edgegate.ledger.row import Row, encode
from edgegate.observe.events import Events
from edgegate.observe.metrics import Metrics
from edgegate.stores.database import Database
from edgegate.stores.records import Slice
from edgegate.stores.sqlite_authority import SqliteAuthority
from edgegate.stores.sqlite_records import SqliteRecords

NOW = 1_795_000_000.0
DAY = today(NOW)
MONEY = Counter(
    "money", Kind.HELD, Unit.NANO_USD, 1000, "budget", "acme", since=DAY.since, ends=1e12, spends=True, scope=Scope((("tenant", "acme"),))
)

VICTIM = """
import asyncio, sys
from edgegate.ledger.row import Row, encode
from edgegate.stores.database import Database
from edgegate.stores.records import Batch
from edgegate.stores.sqlite_authority import SqliteAuthority
from edgegate.stores.sqlite_records import SqliteRecords
from edgegate.access.grants import Want
from edgegate.ledger.row import encode
from tests.unit.ledger.test_recovery import MONEY, row

async def main(file):
    records, authority = SqliteRecords(Database(file)), SqliteAuthority(Database(file))
    await records.open("victim")
    await authority.open("victim")
    await authority.begin(MONEY, {})
    await authority.take([Want(MONEY, 600)])
    await records.write(Batch(1, [encode(row(1, "ok", 40))], [(2, encode(row(2, "unknown", 300)))]))
    print("ready", flush=True)
    await asyncio.sleep(60)

asyncio.run(main(sys.argv[1]))
"""


def row(seq: int, outcome: str, cost: int) -> Row:
    times = ("victim", seq, int(NOW * 1000), "r", 1)
    who = ("acme", "app", "", "", "chat", "openai", "gpt-4o", "openai", "gpt-4o", 0, "provider", 200, outcome, "")
    return Row._make((*times, *who, 5, 5, 0, 0, 0, 0, 0, 0, "reported", "", "v1", 300, cost, 0, None))


async def test_a_killed_process_is_recovered_once(tmp_path: Path) -> None:
    file = str(tmp_path / "store.sqlite")
    victim = await asyncio.create_subprocess_exec(sys.executable, "-c", VICTIM, file, stdout=asyncio.subprocess.PIPE)
    assert victim.stdout is not None
    assert await asyncio.wait_for(victim.stdout.readline(), 20) == b"ready\n"
    os.kill(victim.pid, signal.SIGKILL)
    await victim.wait()
    records, authority = SqliteRecords(Database(file)), SqliteAuthority(Database(file))
    await records.open("survivor")
    await authority.open("survivor")
    metrics, events = Metrics(), Events(lambda: NOW)
    recoveries = [
        Recovery(records, authority, metrics, events, retention_s=1e9, keeps=True, state=lambda up, why: None, unix_clock=lambda: NOW)
        for _ in range(2)
    ]
    for recovery in recoveries:
        await recovery.open()
        await recovery.close()
    assert metrics.ledger_rows.values == {("recovered",): 1}
    assert [event["kind"] for event in events.latest()] == ["attempts_recovered"]
    part = Slice(int(DAY.since * 1000), int(DAY.ends * 1000))
    assert [(row.seq, row.outcome, row.cost_nano_usd) async for row in records.rows(part)] == [(1, "ok", 40), (2, "unknown", 300)]
    assert await past(records, MONEY) == {"victim": 340}
    granted = await authority.take([Want(MONEY, 660)])
    assert not isinstance(granted, Unknown)
    assert granted == [Grant(660, 0)], "what it had leased and not used is free again, what it used is not"
    await authority.close()
    await records.close()


async def test_the_past_counts_only_what_a_rule_is_about(tmp_path: Path) -> None:
    from edgegate.stores.records import Batch

    records = SqliteRecords(Database(str(tmp_path / "store.sqlite")))
    await records.open("me")
    other = row(3, "ok", 11)._replace(tenant="umbrella")
    await records.write(Batch(1, [encode(each) for each in (row(1, "ok", 40), row(2, "ok", 2)._replace(model="gpt-5"), other)]))
    fives = Counter("m", Kind.HELD, Unit.NANO_USD, 9, since=DAY.since, ends=DAY.ends, spends=True, scope=Scope((), models=("gpt-5*",)))
    tokens = Counter("t", Kind.HELD, Unit.TOKENS, 9, since=DAY.since, ends=DAY.ends, spends=True, scope=Scope())
    yesterday = Counter("y", Kind.HELD, Unit.NANO_USD, 9, since=DAY.since - 86_400, ends=DAY.since, spends=True, scope=Scope())
    assert [await past(records, counter) for counter in (MONEY, fives, tokens, yesterday)] == [
        {"victim": 42}, {"victim": 2}, {"victim": 30}, {},
    ]  # fmt: skip
    await records.close()
