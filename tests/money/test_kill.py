"""kill -9 under load, of one worker or of everything at once: the ledger has every answer that the provider billed, as it billed
it, once.

What may be lost are requests that came in the last moments before a death; what was running is charged at what was set aside for
it. `EDGEGATE_KILLS=30` makes the long run of it.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing

from tests.money.bill import Provider
from tests.money.book import Findings, by_command, compare, cost, in_file
from tests.money.fleet import Fleet, Replica, configuration, eventually
from tests.money.load import LOST, Answer, Caller, Crowd, ok

KILLS = int(os.environ.get("EDGEGATE_KILLS", "5"))
SEED = int(os.environ.get("EDGEGATE_KILLS_SEED", "20261121"))
WORKERS = 3
AT_ONCE = 16

WINDOW_S = 0.2
"""What a crash may cost: rows are on disk after `store.commit`, 100 ms, and the writing takes a while."""

RECOVERY_S = 10.0
BETWEEN_S = (0.5, 1.4)
EVERYTHING = 0.2
"""The share of kills that hit all processes."""

YOUNG_S = 5.0
"""The supervisor waits longer and longer for workers that die younger than this: the tests do not kill only those."""

MODELS = ("plain", "odd", "dear")
USD = 100_000.0


class Siege:
    """A gateway under load, and the moments at which parts of it were killed."""

    def __init__(self, replica: Replica, callers: list[Caller]) -> None:
        self.replica = replica
        self.deaths: list[float] = []
        self.answers: Counter[int] = Counter()
        self._callers = callers
        self._dice = random.Random(SEED)
        self._born: dict[int, float] = {}
        self._young = 0

    async def load(self, stop: asyncio.Event) -> None:
        """Calls of every kind until it is told to stop."""
        dice = random.Random(SEED + 1)
        async with Crowd(self.replica.url) as crowd:

            async def one_after_the_other(caller: Caller) -> None:
                while not stop.is_set():
                    words = f"answer={dice.randrange(1, 200)} wait={dice.random() * 0.3:.3f} pace={dice.random() * 0.05:.3f}"
                    words += f" cached={dice.randrange(0, 4)}"
                    answer = await crowd.call(caller, words, model=dice.choice(MODELS), max_tokens=250, stream=dice.random() < 0.5)
                    self.answers[answer.status if answer.whole or not answer.ok else LOST] += 1
                    if answer.status == LOST:
                        await asyncio.sleep(0.05)

            await asyncio.gather(*(one_after_the_other(self._callers[number % len(self._callers)]) for number in range(AT_ONCE)))

    async def kill(self) -> None:
        """One worker by chance, or everything; returns when all workers are there again."""
        await asyncio.sleep(self._dice.uniform(*BETWEEN_S))
        if self._dice.random() < EVERYTHING:
            self.deaths.append(time.monotonic())
            await asyncio.to_thread(self.replica.kill)
            self.deaths.append(time.monotonic())
            await asyncio.to_thread(self.replica.restart)
            self._young = 0
        else:
            pid = self._victim()
            self.deaths.append(time.monotonic())
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda: pid not in self.replica.worker_pids, "the death of a worker", 5)
            await eventually(lambda: len(self.replica.worker_pids) == WORKERS, "another worker", 12)
        await asyncio.to_thread(self.replica.wait_all_workers)

    def _victim(self) -> int:
        now = time.monotonic()
        pids = sorted(self.replica.worker_pids)
        self._born = {pid: self._born.get(pid, now) for pid in pids}
        old = [pid for pid in pids if now - self._born[pid] > YOUNG_S]
        if self._young >= 3 and old:
            pids = old
        pid = self._dice.choice(pids)
        self._young = 0 if pid in old else self._young + 1
        return pid


def integrity(replica: Replica) -> str:
    with closing(sqlite3.connect(f"file:{replica.file_of_store}?mode=ro", uri=True)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


async def test_what_was_billed_is_in_the_ledger_once_whatever_is_killed(
    provider: Provider, fleet: Fleet, tell: Callable[[str], None]
) -> None:
    callers = [Caller("app", "acme"), Caller("batch", "acme"), Caller("guest", "umbrella")]
    config = configuration(
        {"maker": provider.entry()},
        [caller.entry() for caller in callers],
        budgets=[{"name": "money", "per": ["tenant"], "usd": USD, "period": "month"}],
        limits=[{"name": "many", "per": ["key"], "requests": "1M/min", "tokens": "1000M/min", "concurrency": 1000}],
        store={"commit": "100ms"},
    )
    provider.bill.forget()
    (replica,) = fleet.start(config, workers=WORKERS)
    siege, stop = Siege(replica, callers), asyncio.Event()
    load = asyncio.create_task(siege.load(stop))
    try:
        for _ in range(KILLS):
            await siege.kill()
            assert not load.done(), load
        last = siege.deaths[-1]
        await asyncio.sleep(0.5)
    finally:
        stop.set()
        await asyncio.wait_for(load, 30)
    lines = list(provider.bill.lines)

    def findings() -> Findings:
        return compare(lines, in_file(replica.file_of_store), siege.deaths, WINDOW_S)

    found = findings()
    while found.faults and time.monotonic() - last < RECOVERY_S:
        await asyncio.sleep(0.2)
        found = findings()
    recovered = time.monotonic() - last
    assert not found.faults, f"{len(found.faults)} of {len(lines)}:\n" + "\n".join(found.faults[:20])
    assert integrity(replica) == "ok"
    tell(
        f"{KILLS} kills, {len(lines)} answers: {found.reported} as billed, {found.unknown} unknown, {len(found.ages)} missing"
        f"{f' (the oldest {max(found.ages) * 1000:.0f} ms before a kill)' if found.ages else ''}, settled {recovered:.1f} s after the last"
    )
    assert found.reported > 5 * KILLS
    assert not set(siege.answers) - {200, LOST}, f"answers by status: {dict(siege.answers)}"
    before = in_file(replica.file_of_store)

    assert replica.stop() == 0, replica.said()
    assert not compare(lines, in_file(replica.file_of_store), siege.deaths, WINDOW_S).faults
    assert set(in_file(replica.file_of_store)) >= set(before), "rows have changed or gone"
    assert sorted(by_command(replica), key=lambda row: row.name) == sorted(in_file(replica.file_of_store), key=lambda row: row.name)
    await check_budgets(replica, provider)


async def check_budgets(replica: Replica, provider: Provider) -> None:
    """A budget of what the ledger says was spent, and of three calls beside: these fit, and a fourth does not."""
    rows = [row for row in in_file(replica.file_of_store) if row.tenant == "acme"]
    spent, each = cost(rows), _price_of_a_call()
    replica.restart(budgets=[{"name": "money", "per": ["tenant"], "usd": (spent + 3 * each) / 1e9, "period": "month"}])
    known = len(provider.bill.lines)
    async with Crowd(replica.url) as crowd:
        answers: list[Answer] = []
        until = time.monotonic() + RECOVERY_S
        while len(ok(answers)) < 2 and time.monotonic() < until:
            answers += await crowd.wave(4, Caller("app", "acme"), "", max_tokens=1000)
            await asyncio.sleep(0.1)
        answers += await crowd.wave(12, Caller("batch", "acme"), "", max_tokens=1000)
        assert 2 <= len(ok(answers)) <= 3, f"{len(ok(answers))} calls fit, of which each costs a third of what should be left"
        assert {answer.status for answer in answers} == {200, 429}
        assert ok([await crowd.call(Caller("guest", "umbrella"), "answer=1", max_tokens=10)]), "another tenant's budget"
    paid = sum(line.nano_usd for line in provider.bill.lines[known:] if line.caller != "guest")
    assert paid <= 3 * each


def _price_of_a_call() -> int:
    """At most: a thousand tokens, and a prompt of no more tokens than its request has bytes."""
    return 1000 * 10_000 + 300 * 1000
