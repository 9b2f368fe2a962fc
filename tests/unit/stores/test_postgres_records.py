"""What only the ledger in PostgreSQL does: it judges who lives by what it sees, and takes rows that PostgreSQL cannot hold as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.ledger.row import MAX_TEXT
from edgegate.stores.base import StoreError
from edgegate.stores.postgres import Postgres
from edgegate.stores.postgres_records import PostgresRecords
from edgegate.stores.presence import CALLS, Presence
from tests.servers.postgres import PostgresServer
from tests.unit.core.parts import Clock
from tests.unit.stores.records_contract import EVER, HOLDER, all_rows, batch, expected, mark, row, total

Opener = Callable[..., Awaitable[PostgresRecords]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def opener(postgres: PostgresServer, schema: str, clock: Clock) -> AsyncIterator[Opener]:
    async with AsyncExitStack() as opened:

        async def opener(holder: str = HOLDER) -> PostgresRecords:
            records = PostgresRecords(Postgres(postgres.url, schema), clock=clock, silence_s=10.0)
            await records.open(holder)
            opened.push_async_callback(records.close)
            return records

        yield opener


async def watch(records: PostgresRecords, clock: Clock, seconds: int, *living: PostgresRecords) -> list[str]:
    """Lets time pass, second by second. Gives who is gone at its end."""
    gone: list[str] = []
    for _ in range(seconds):
        clock.now += 1
        for each in (records, *living):
            await each.beat()
        gone = await records.gone()
    return gone


# -- who lives


async def test_a_holder_that_no_longer_beats_is_gone_after_ten_seconds(opener: Opener, clock: Clock) -> None:
    observer, alive = await opener("observer"), await opener("alive")
    await opener("dead")
    assert await observer.gone() == []
    assert await watch(observer, clock, 9, alive) == []
    assert await watch(observer, clock, 1, alive) == ["dead"]
    assert await observer.gone() == ["dead"]


async def test_who_is_buried_is_not_named_again_unless_it_beats_and_stops_again(opener: Opener, clock: Clock) -> None:
    observer, dead = await opener("observer"), await opener("dead")
    await observer.gone()
    assert await watch(observer, clock, 10) == ["dead"]
    await observer.bury("dead")
    assert await watch(observer, clock, 12) == []
    await dead.beat()
    assert await watch(observer, clock, 10) == []
    assert await watch(observer, clock, 1) == ["dead"]


async def test_a_beat_begins_the_ten_seconds_anew(opener: Opener, clock: Clock) -> None:
    observer, other = await opener("observer"), await opener("other")
    await observer.gone()
    assert await watch(observer, clock, 9) == []
    await other.beat()
    assert await watch(observer, clock, 10) == []
    assert await watch(observer, clock, 1) == ["other"]


async def test_who_died_before_its_first_beat_is_found_by_its_marks(opener: Opener, clock: Clock) -> None:
    observer, dead = await opener("observer"), await opener("dead")
    await dead.write(batch(opened=[mark(1, holder="dead")]))
    await observer.bury("dead")
    await observer.gone()
    assert await watch(observer, clock, 10) == ["dead"]
    assert await observer.recover("dead") == [mark(1, holder="dead")]
    await observer.bury("dead")
    assert await watch(observer, clock, 11) == []


async def test_an_observer_that_was_cut_off_has_seen_nothing(postgres: PostgresServer, opener: Opener, clock: Clock) -> None:
    observer, other = await opener("observer"), await opener("other")
    await observer.gone()
    assert await watch(observer, clock, 9, other) == []
    await postgres.stop()
    for _ in range(30):
        clock.now += 1
        with pytest.raises(StoreError):
            await observer.gone()
    await postgres.start()
    await eventually(observer.beat)
    assert await observer.gone() == []
    assert await watch(observer, clock, 9) == []
    assert await watch(observer, clock, 1) == ["other"]  # which did not come back


async def test_after_an_outage_those_that_come_back_are_alive(postgres: PostgresServer, opener: Opener, clock: Clock) -> None:
    observer, other = await opener("observer"), await opener("other")
    await observer.gone()
    await postgres.stop()
    clock.now += 100
    await postgres.start()
    await eventually(observer.beat)
    assert await observer.gone() == []
    assert await watch(observer, clock, 4) == []
    await eventually(other.beat)
    assert await watch(observer, clock, 6, other) == []


async def eventually(call: Callable[[], Awaitable[None]]) -> None:
    """Until the breaker lets it through: two seconds at most."""
    async with asyncio.timeout(4):
        while True:
            try:
                return await call()
            except StoreError:
                await asyncio.sleep(0.02)


# -- presence by itself


def test_a_counter_is_watched_over_several_calls() -> None:
    presence = Presence(10.0, 100.0)
    for now in (0.0, 50.0):
        presence.reached(now, now)
        assert presence.saw({"a": 1}, now, now) == []
    for now in (51.0, 52.0, 53.0):
        presence.reached(now, now)
    presence.reached(54.0, 54.0)
    assert presence.saw({"a": 1}, 54.0, 54.0) == ["a"]


@given(
    st.lists(st.tuples(st.floats(0.01, 5.0), st.floats(0.0, 2.0), st.booleans(), st.sampled_from(["none", "moves", "stands"])), max_size=60)
)
def test_nobody_is_gone_within_ten_seconds_or_across_a_gap(steps: list[tuple[float, float, bool, str]]) -> None:
    presence, now, beats = Presence(10.0, 3.0), 0.0, 0
    stands_since, began, calls = 0.0, 0.0, 0  # since when, at the earliest, it has been seen standing still
    seen = False
    for pause, takes, asks, moves in steps:
        now += pause
        if moves == "moves":
            beats, seen = beats + 1, False
        asked, now = now, now + takes
        if now - began > 3.0:
            seen = False
        began = asked
        calls += 1
        presence.reached(asked, now)
        if asks:
            if not seen:
                seen, stands_since, calls = True, now, 0
            gone = presence.saw({"a": beats}, asked, now)
            assert gone == (["a"] if asked - stands_since >= 10.0 and calls >= CALLS else [])


# -- rows by their names


async def test_rows_that_are_there_stay_whatever_batch_they_come_in(opener: Opener) -> None:
    records = await opener()
    await records.write(batch([row(1), row(2), row(2, cost_nano_usd=5)]))
    before = await total(records)
    await records.write(batch([row(1, cost_nano_usd=1), row(2, outcome="error")]))
    assert await total(records) == before
    await records.write(batch([row(1, cost_nano_usd=1), row(3), row(2, outcome="error")]))
    assert await all_rows(records) == [row(1), row(2), row(3)]
    assert await records.totals(EVER, ()) == expected([row(1), row(2), row(3)], ())


async def test_an_unknown_row_is_replaced_once_it_is_known_what_became_of_it(opener: Opener) -> None:
    records = await opener()
    await records.write(batch([mark(1), row(2)]))
    known = row(1, output_tokens=77, cost_nano_usd=1_234, model="gpt-4o-2024")
    await records.write(batch([known, row(2), row(3)]))
    await records.write(batch([row(1, output_tokens=99), mark(1)]))
    assert await all_rows(records) == [known, row(2), row(3)]
    sums = {found.model: found for found in await records.totals(EVER, ("model",))}
    assert [sums["gpt-4o-2024"]] == expected([known], ("model",))
    assert [sums["gpt-4o"]] == expected([row(2), row(3)], ("model",))
    assert await records.totals(EVER, ()) == expected([known, row(2), row(3)], ())


async def test_an_unknown_row_does_not_replace_anything(opener: Opener) -> None:
    records = await opener()
    await records.write(batch([row(1), mark(2)]))
    await records.write(batch([mark(1), mark(2)._replace(cost_nano_usd=5)]))
    assert await all_rows(records) == [row(1), mark(2)]


async def test_an_attempt_that_has_its_row_is_not_given_again(opener: Opener) -> None:
    records = await opener()
    await records.write(batch([row(1)], opened=[mark(1)]))
    assert await (await opener("other")).recover(HOLDER) == []
    assert await all_rows(records) == [row(1)]


async def test_who_was_taken_for_dead_still_has_the_last_word(opener: Opener) -> None:
    records = await opener()
    await records.write(batch(opened=[mark(1)]))
    other = await opener("other")
    await other.recover(HOLDER)
    await other.bury(HOLDER)
    await records.beat()
    await records.write(batch([row(1)], closed=[1]))
    assert await all_rows(other) == [row(1)]
    assert await other.totals(EVER, ()) == expected([row(1)], ())


# -- rows that PostgreSQL does not hold


async def test_a_row_that_cannot_be_kept_as_it_is_does_not_hold_up_the_others(opener: Opener) -> None:
    records = await opener()
    odd = [
        row(1, request_id="a\0b", input_tokens=(1 << 64) - 1, cost_nano_usd=-(1 << 63)),
        row(2, user="\0x", key="k" * MAX_TEXT, tier="t" * (MAX_TEXT + 1)),
        row(3),
    ]
    await records.write(batch(odd, opened=[mark(4, tenant="\0")]))
    one, two, three = await all_rows(records)
    assert (one.request_id, one.input_tokens, one.cost_nano_usd) == ("ab", 1 << 53, -(1 << 53))
    assert (two.user, two.key, two.tier) == ("x", "k" * MAX_TEXT, "t" * MAX_TEXT)
    assert three == row(3)
    assert await records.totals(EVER, ()) == expected([one, two, three], ())
    assert [found.tenant for found in await records.recover(HOLDER)] == [""]


async def test_a_stream_is_a_stream_however_it_is_said(opener: Opener) -> None:
    records = await opener()
    await records.write(batch([row(1, stream=True), row(2, stream=False), row(3, stream=1), row(4, stream=0)]))
    assert [found.stream for found in await all_rows(records)] == [1, 0, 1, 0]


async def test_a_batch_of_thousands_is_written_at_once(opener: Opener) -> None:
    records = await opener()
    rows = [row(seq) for seq in range(2000)]
    await records.write(batch(rows))
    assert await records.totals(EVER, ()) == expected(rows, ())


async def test_what_two_write_at_once_adds_up(opener: Opener) -> None:
    """The one who was taken for dead writes while another makes its marks rows."""
    mine, other = await opener(), await opener("other")
    for begin in range(0, 200, 20):
        seqs = range(begin, begin + 20)
        await mine.write(batch(opened=[mark(seq) for seq in seqs]))
        await asyncio.gather(mine.write(batch([row(seq) for seq in seqs], closed=[*seqs])), other.recover(HOLDER))
    rows = [row(seq) for seq in range(200)]
    assert await all_rows(mine) == rows
    assert await mine.totals(EVER, ()) == expected(rows, ())
