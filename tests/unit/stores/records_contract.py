"""What holds for every store of the ledger. A store's tests take `RecordsContract` as their base and say how one is opened."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest

from edgegate.access.counters import Scope
from edgegate.ledger.row import UNKNOWN, Row, encode
from edgegate.stores.records import GROUPS, Batch, Records, Slice, Total

DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS
EVER = Slice(0, 1 << 50)
HOLDER = "a1b2c3"

Opener = Callable[[str], Awaitable[Records]]
"""Opens the same store for a holder, as a process of its own would."""


def row(seq: int, **more: Any) -> Row:
    plain = Row(
        holder=HOLDER,
        seq=seq,
        at_ms=START_MS + seq * 1000,
        request_id=f"req_{seq}",
        attempt=1,
        tenant="acme",
        key="team",
        user="ann",
        tags="red,blue",
        operation="chat",
        dialect="openai",
        requested_model="fast",
        provider="openai",
        model="gpt-4o",
        stream=1,
        source="provider",
        status=200,
        outcome="ok",
        error="",
        input_tokens=100,
        output_tokens=20,
        cached_tokens=10,
        cache_write_tokens=1,
        cache_write_1h_tokens=2,
        reasoning_tokens=5,
        input_audio_tokens=3,
        output_audio_tokens=4,
        usage="reported",
        tier="",
        price_version="2026-11",
        reserved_nano_usd=9_000,
        cost_nano_usd=7_000,
        duration_us=1_500_000,
        first_us=200_000,
    )
    return plain._replace(**more)


def mark(seq: int, **more: Any) -> Row:
    """An attempt that runs, as `opened` has it."""
    return row(seq, outcome=UNKNOWN, status=0, cost_nano_usd=9_000, output_tokens=0, first_us=None, duration_us=0, usage="none", **more)


_numbers = itertools.count(1)


def batch(rows: Iterable[Row] = (), *, opened: Iterable[Row] = (), closed: Sequence[int] = ()) -> Batch:
    """One that was not written before."""
    return Batch(next(_numbers), [encode(each) for each in rows], [(each.seq, encode(each)) for each in opened], closed)


async def all_rows(records: Records, part: Slice = EVER, **more: Any) -> list[Row]:
    return [found async for found in records.rows(part, **more)]


async def total(records: Records, part: Slice = EVER) -> Total | None:
    found = await records.totals(part, ())
    return found[0] if found else None


def expected(rows: Iterable[Row], by: Sequence[str]) -> list[Total]:
    """The sums, added up here."""
    found: dict[tuple[str, ...], list[int]] = {}
    for each in rows:
        sums = found.setdefault(tuple(str(getattr(each, name)) for name in by), [0] * 9)
        tried = each.attempt > 0
        adds = (
            *(tried, each.input_tokens, each.output_tokens, each.cached_tokens, each.reasoning_tokens, each.cost_nano_usd or 0),
            *(tried and each.cost_nano_usd is None, tried and each.usage == "estimated", each.attempt <= 1),
        )
        for place, added in enumerate(adds):
            sums[place] += int(added)
    named: dict[str, Any] = dict.fromkeys(GROUPS, "")
    return [Total(*(named | dict(zip(by, group, strict=True))).values(), *sums) for group, sums in sorted(found.items())]


def assorted(count: int, seed: int = 7) -> list[Row]:
    chance = random.Random(seed)
    return [
        row(
            seq,
            at_ms=START_MS + chance.randrange(4 * DAY_MS),
            attempt=chance.choice((0, 1, 1, 2)),
            tenant=chance.choice(("acme", "beta", "")),
            key=chance.choice(("team-1", "team-2", "solo")),
            user=chance.choice(("ann", "bob", "Ärger")),
            provider=chance.choice(("openai", "anthropic")),
            model=chance.choice(("gpt-4o", "gpt-4o-mini", "claude")),
            cost_nano_usd=chance.choice((None, 0, 12_345_678_901)),
            usage=chance.choice(("reported", "estimated", "none")),
            outcome=chance.choice(("ok", "error")),
            input_tokens=chance.randrange(1000),
        )
        for seq in range(count)
    ]


class RecordsContract:
    """See the module. Below it, `opener` is overridden."""

    @pytest.fixture
    async def opener(self) -> Opener:
        raise NotImplementedError

    @pytest.fixture
    async def records(self, opener: Opener) -> Records:
        return await opener(HOLDER)

    # -- rows

    async def test_a_row_is_read_as_it_was_written(self, records: Records) -> None:
        rows = [
            row(1),
            row(2, cost_nano_usd=None, reserved_nano_usd=None, first_us=None, price_version="", stream=0),
            row(3, user="o'neil \\ \" % _ ; -- é 漢 🙂\u2028", tags="", request_id="", input_tokens=(1 << 53) - 1),
        ]
        await records.write(batch(rows))
        assert await all_rows(records) == rows
        assert all(type(found) is Row for found in await all_rows(records))

    async def test_a_batch_that_is_written_again_changes_nothing(self, opener: Opener, records: Records) -> None:
        again = batch([row(1), row(2)], opened=[mark(3), mark(4)])
        await records.write(again)
        before = await total(records)
        await records.write(again)
        assert await total(records) == before
        await records.write(batch([row(3)], closed=[3]))
        assert await all_rows(records) == [row(1), row(2), row(3)]
        assert await records.totals(EVER, ()) == expected([row(1), row(2), row(3)], ())
        assert await (await opener("other")).recover(HOLDER) == [mark(4)]

    async def test_what_was_written_again_is_counted_once_however_late_it_is_added_up(self, records: Records) -> None:
        batches = [batch([row(seq), row(seq + 1)]) for seq in range(0, 10, 2)]
        for each in batches:
            await records.write(each)
            await records.write(each)
            assert await records.prune(0) == 0  # sums are made
        assert await records.totals(EVER, ()) == expected([row(seq) for seq in range(10)], ())

    async def test_an_empty_batch_is_written(self, records: Records) -> None:
        await records.write(batch())
        assert await all_rows(records) == []
        assert await records.totals(EVER, ()) == []

    async def test_holders_number_their_rows_apart(self, opener: Opener, records: Records) -> None:
        other = await opener("other")
        await records.write(batch([row(1)]))
        await other.write(batch([row(1, holder="other")]))
        assert await all_rows(records) == [row(1), row(1, holder="other")]

    # -- attempts that run

    async def test_what_a_dead_process_had_open_becomes_rows(self, opener: Opener, records: Records) -> None:
        await records.write(batch(opened=[mark(1), mark(2), mark(3)]))
        await records.write(batch([row(2)], closed=[2]))
        assert await all_rows(records) == [row(2)]
        other = await opener("other")
        assert await other.recover(HOLDER) == [mark(1), mark(3)]
        assert await all_rows(records) == [mark(1), row(2), mark(3)]
        assert await records.totals(EVER, ()) == expected([mark(1), row(2), mark(3)], ())
        assert await other.recover(HOLDER) == []

    async def test_marks_written_twice_are_one(self, opener: Opener, records: Records) -> None:
        for _ in range(2):
            await records.write(batch(opened=[mark(1)]))
        assert await (await opener("other")).recover(HOLDER) == [mark(1)]

    async def test_an_attempt_that_begins_and_ends_in_one_batch_leaves_no_mark(self, opener: Opener, records: Records) -> None:
        await records.write(batch([row(1)], opened=[mark(1), mark(2)], closed=[1]))
        assert await (await opener("other")).recover(HOLDER) == [mark(2)]

    async def test_a_holder_closes_only_its_own_marks(self, opener: Opener, records: Records) -> None:
        await records.write(batch(opened=[mark(1)]))
        other = await opener("other")
        await other.write(batch(opened=[mark(1, holder="other")]))
        await other.write(batch(closed=[1]))
        assert await other.recover(HOLDER) == [mark(1)]

    async def test_marks_are_given_to_one_caller_only(self, opener: Opener, records: Records) -> None:
        marks = [mark(seq) for seq in range(20)]
        await records.write(batch(opened=marks))
        others = [await opener(f"other{number}") for number in range(3)]
        given = await asyncio.gather(*(other.recover(HOLDER) for other in others))
        assert sorted(itertools.chain(*given)) == marks
        assert sorted(map(len, given)) == [0, 0, 20]

    async def test_nobody_is_gone_who_lives_or_has_closed(self, opener: Opener, records: Records) -> None:
        other = await opener("other")
        assert await records.gone() == []
        await other.close()
        assert await records.gone() == []

    # -- sums

    @pytest.mark.parametrize("by", [(), *((name,) for name in GROUPS), ("day", "tenant"), ("model", "day", "key"), GROUPS])
    async def test_sums_by_any_columns_are_those_of_the_rows(self, records: Records, by: tuple[str, ...]) -> None:
        rows = assorted(60)
        for begin in range(0, 60, 7):
            await records.write(batch(rows[begin : begin + 7]))
        assert await records.totals(EVER, by) == expected(rows, by)

    async def test_sums_of_a_part_are_by_whole_days(self, records: Records) -> None:
        rows = assorted(60)
        await records.write(batch(rows))
        for first, last in ((0, 4), (1, 3), (1, 2), (2, 3), (3, 9)):
            days = {rows[0]._replace(at_ms=START_MS + day * DAY_MS).day for day in range(first, last)}
            inside = [each for each in rows if each.day in days]
            whole = Slice(START_MS + first * DAY_MS, START_MS + last * DAY_MS)
            begun = Slice(whole.since_ms + 1, whole.until_ms - DAY_MS + 1)
            assert await records.totals(whole, ("day", "key")) == expected(inside, ("day", "key"))
            assert await records.totals(begun, ("day", "key")) == expected(inside, ("day", "key"))

    async def test_there_is_nothing_before_the_first_day_and_after_the_last(self, records: Records) -> None:
        await records.write(batch([row(1)]))
        for part in (Slice(0, 1), Slice(START_MS + DAY_MS, 1 << 50), Slice(START_MS, 0)):
            assert await records.totals(part, ()) == []
            assert await all_rows(records, part) == []
        assert await records.totals(Slice(0, 1 << 60), ()) == expected([row(1)], ())
        assert await all_rows(records, Slice(0, 1 << 60)) == [row(1)]

    @pytest.mark.parametrize(
        "scope",
        [
            Scope(),
            Scope(equal=(("tenant", "acme"),)),
            Scope(equal=(("key", "team-1"), ("user", "Ärger"))),
            Scope(equal=(("ip", "10.0.0.1"),)),
            Scope(keys=("team-*",)),
            Scope(keys=("team-1", "so*"), models=("gpt-4o",)),
            Scope(equal=(("provider", "openai"),), users=("*",), models=("gpt-*",), tenants=("beta", "acme")),
            Scope(models=("gpt_*", "%")),
            Scope(models=("nothing",)),
        ],
    )
    async def test_a_scope_takes_the_same_rows_as_in_memory(self, records: Records, scope: Scope) -> None:
        rows = assorted(60)
        await records.write(batch(rows))
        covered = [each for each in rows if scope.covers(each.key, each.user, each.tenant, each.model, each.provider)]
        part = Slice(EVER.since_ms, EVER.until_ms, scope=scope)
        assert await records.totals(part, ("holder", "day")) == expected(covered, ("holder", "day"))
        assert await records.totals(part, ()) == expected(covered, ())
        assert sorted(await all_rows(records, part)) == sorted(covered)

    @pytest.mark.parametrize("name", GROUPS)
    async def test_sums_and_rows_are_asked_for_by_any_column(self, records: Records, name: str) -> None:
        rows = assorted(60)
        await records.write(batch(rows))
        value = getattr(rows[0], name)
        part = Slice(EVER.since_ms, EVER.until_ms, equal=((name, value),))
        inside = [each for each in rows if getattr(each, name) == value]
        assert await records.totals(part, ("user",)) == expected(inside, ("user",))
        assert sorted(await all_rows(records, part)) == sorted(inside)

    async def test_rows_are_also_asked_for_by_request_and_outcome(self, records: Records) -> None:
        await records.write(batch([row(1), row(2), row(3, request_id="req_2", attempt=2), row(4, outcome="error")]))
        part = Slice(0, EVER.until_ms, equal=(("request_id", "req_2"),))
        assert [found.seq for found in await all_rows(records, part)] == [2, 3]
        part = Slice(0, EVER.until_ms, equal=(("outcome", "error"),))
        assert [found.seq for found in await all_rows(records, part)] == [4]

    @pytest.mark.parametrize("name", ["ip", 'key"; DROP TABLE ledger; --', "at_ms"])
    async def test_nothing_else_is_asked_by(self, records: Records, name: str) -> None:
        with pytest.raises(ValueError):
            await records.totals(EVER, (name,))
        with pytest.raises(ValueError):
            await records.totals(Slice(0, 1, equal=((name, "x"),)), ())
        with pytest.raises(ValueError):
            await all_rows(records, Slice(0, 1, equal=((name, "x"),)))

    async def test_values_are_values(self, records: Records) -> None:
        await records.write(batch([row(1)]))
        for value in ("' OR '1'='1", "\0", "x" * 10_000, "\\", "'; DROP TABLE ledger; --"):
            part = Slice(0, EVER.until_ms, equal=(("key", value),))
            assert await records.totals(part, ("key",)) == []
            assert await all_rows(records, part) == []
        assert await all_rows(records) == [row(1)]

    # -- pages

    async def test_rows_come_in_the_order_of_their_time(self, records: Records) -> None:
        rows = assorted(30)
        await records.write(batch(rows))
        ordered = sorted(rows, key=lambda each: (each.at_ms, each.holder, each.seq))
        assert await all_rows(records) == ordered
        assert await all_rows(records, newest_first=True) == ordered[::-1]
        assert await all_rows(records, limit=7) == ordered[:7]
        assert await all_rows(records, newest_first=True, limit=1) == ordered[:-2:-1]
        part = Slice(ordered[5].at_ms, ordered[20].at_ms)
        assert await all_rows(records, part) == ordered[5:20]

    async def test_more_rows_than_a_page_are_read_to_their_end(self, records: Records) -> None:
        rows = [row(seq, at_ms=START_MS + seq // 300) for seq in range(2500)]  # many of the same moment
        await records.write(batch(rows))
        assert await all_rows(records) == rows
        assert await all_rows(records, newest_first=True) == rows[::-1]
        assert await all_rows(records, limit=2300) == rows[:2300]
        part = Slice(0, EVER.until_ms, equal=(("request_id", "req_2400"),))
        assert await all_rows(records, part, limit=5) == [rows[2400]]

    async def test_rows_of_several_processes_come_in_the_order_of_their_time(self, opener: Opener, records: Records) -> None:
        other = await opener("other")
        chance = random.Random(3)
        rows = []
        for turn in range(40):
            for writer, holder in ((records, HOLDER), (other, "other")):
                seqs = range(turn * 50, turn * 50 + 50)
                written = [row(seq, holder=holder, at_ms=START_MS + seq * 10 - chance.choice((0, 5, 3_000, 90_000))) for seq in seqs]
                await writer.write(batch(written))
                rows += written
        ordered = sorted(rows, key=lambda each: (each.at_ms, each.holder, each.seq))
        assert await all_rows(records) == ordered
        assert await all_rows(records, newest_first=True) == ordered[::-1]
        part = Slice(START_MS - 5_000, START_MS + 12_345, equal=(("holder", "other"),))
        inside = [each for each in ordered if each.holder == "other" and part.since_ms <= each.at_ms < part.until_ms]
        assert await all_rows(records, part) == inside
        assert await all_rows(records, part, newest_first=True, limit=33) == inside[:-34:-1]

    # -- housekeeping

    async def test_old_rows_go_and_their_sums_stay(self, records: Records) -> None:
        rows = assorted(60)
        for day in range(4):
            await records.write(batch([each for each in rows if (each.at_ms - START_MS) // DAY_MS == day]))
        before = await records.totals(EVER, GROUPS)
        border = START_MS + 2 * DAY_MS
        old = [each for each in rows if each.at_ms < border]
        assert await records.prune(border) == len(old)
        assert await records.prune(border) == 0
        assert sorted(await all_rows(records)) == sorted(each for each in rows if each.at_ms >= border)
        assert await records.totals(EVER, GROUPS) == before
        await records.write(batch([row(100, at_ms=START_MS)]))
        assert await records.totals(EVER, GROUPS) == expected([*rows, row(100, at_ms=START_MS)], GROUPS)

    async def test_removal_is_done_piece_by_piece(self, records: Records) -> None:
        for begin in range(0, 5000, 500):
            await records.write(batch([row(seq) for seq in range(begin, begin + 500)]))
        removed = []
        while count := await records.prune(EVER.until_ms):
            removed.append(count)
        assert sum(removed) == 5000
        assert len(removed) > 1
