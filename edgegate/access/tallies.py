"""An authority over counters in memory: who may have how many units, who has spent how many.

The rules that every `Authority` keeps, whatever it keeps its counters in. Units wanted together are granted together or not at all;
what is granted counts until it is returned or comes back by itself. A counter takes its limit from the `Counter` that comes with a
call, so a changed configuration holds from then on. Each counter's state can be dumped as JSON and loaded again.
Times are Unix seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgegate.access.bucket import Bucket
from edgegate.access.counter_json import counter_json, counter_of
from edgegate.access.counters import Counter, Kind
from edgegate.access.grants import LEASE_S, PRESENT_S, Grant, Refused, Return, Unknown, Want
from edgegate.access.held import Held
from edgegate.access.window import Window


@dataclass(slots=True)
class _Tally:
    """A counter's state. `counter`: only of those that spend, to be told to whoever buries a holder."""

    state: Window | Bucket | Held
    limit: int
    window_s: float = 0.0
    burst: int = 0
    counter: Counter | None = None


class Tallies:
    """See the module. `seen`: when each holder was last heard of."""

    def __init__(self) -> None:
        self.seen: dict[str, float] = {}
        self._tallies: dict[str, _Tally] = {}
        self._firsts: dict[str, float] = {}

    def see(self, holder: str, now: float) -> None:
        """This holder lives. `take` and `tell` say so too: whoever was away and comes back has its places back."""
        self.seen[holder] = now

    def leave(self, holder: str) -> None:
        """Gives up this holder's places. What it spent stays, and so do leases of counters that spend."""
        self.seen.pop(holder, None)
        for tally in self._tallies.values():
            if isinstance(tally.state, Held) and tally.counter is None:
                tally.state.leases.pop(holder, None)

    def take(self, holder: str, wants: Sequence[Want], now: float) -> list[Grant] | Refused | Unknown:
        """All that is wanted, or nothing. Of several counters that refuse, the one that does so for longest is named."""
        unknown = tuple(dict.fromkeys(want.counter for want in wants if want.counter.spends and want.counter.name not in self._tallies))
        if unknown:
            return Unknown(unknown)
        self.see(holder, now)
        states = [self._state(want.counter) for want in wants]
        refused = self._refused(wants, states, now)
        if refused is not None:
            return refused
        slots = [_take(state, holder, want.units, now) for state, want in zip(states, wants, strict=True)]
        grants = []
        for state, want, slot in zip(states, wants, slots, strict=True):
            extra = max(0, min(want.extra, self._left(state, want.counter, now) // 2))
            if extra:
                _take(state, holder, extra, now)
            grants.append(Grant(want.units + extra, slot))
        return grants

    def begin(self, counter: Counter, spent: Mapping[str, int]) -> None:
        """Makes a counter that spends known, with what each holder has spent of it so far. Nothing happens if it is known."""
        if counter.name not in self._tallies:
            state = Held(counter.limit)
            state.spent = dict(spent)
            self._tallies[counter.name] = _Tally(state, counter.limit, counter=counter)

    def tell(
        self,
        holder: str,
        returns: Sequence[Return],
        spent: Sequence[tuple[Counter, int]],
        now: float,
        held: Sequence[tuple[Counter, int]] = (),
    ) -> dict[str, int]:
        """As `Authority.tell`. What is said of a counter that spends and is not known is passed over, and it is not in the answer."""
        self.see(holder, now)
        for back in returns:
            if self._known(back.counter):
                _give(self._state(back.counter), holder, back.slot, back.units, now)
        totals = {}
        for counter, total in spent:
            if self._known(counter) and isinstance(state := self._state(counter), Held):
                state.report(holder, total)
                totals[counter.name] = state.used
        for counter, units in held:
            if self._known(counter) and isinstance(state := self._state(counter), Held):
                state.leases.pop(holder, None)
                if units > 0:
                    state.lease(holder, units)
        return totals

    def estate(self, holder: str) -> list[Counter]:
        """The counters that spend in which this holder has leases or has spent something."""
        return [
            tally.counter
            for tally in self._tallies.values()
            if tally.counter is not None
            and isinstance(tally.state, Held)
            and (tally.state.leases.get(holder) or tally.state.spent.get(holder))
        ]

    def bury(self, holder: str, spent: Mapping[str, int]) -> None:
        """A holder is gone. `spent`: what it spent in all, by counter, where that is known better. Doing it twice changes nothing."""
        self.seen.pop(holder, None)
        for name, tally in self._tallies.items():
            if isinstance(tally.state, Held) and (holder in tally.state.leases or holder in tally.state.spent):
                tally.state.bury(holder, spent.get(name))

    def first(self, name: str, ends: float, now: float) -> bool:
        """Whether nobody has asked this before, or what was asked has ended."""
        if self._firsts.get(name, -math.inf) > now:
            return False
        self._firsts[name] = ends
        return True

    def used(self, name: str, now: float) -> int:
        """Units that count now: spent, granted, or not yet come back. 0 for a counter that is not known."""
        tally = self._tallies.get(name)
        return 0 if tally is None else self._used(tally.state, tally.counter is not None, now)

    # -- keeping

    def names(self) -> list[str]:
        """Of the counters that there are."""
        return list(self._tallies)

    def dump(self, name: str) -> dict[str, Any] | None:
        """A counter's state as JSON. None: it says no more than one that was never used."""
        tally = self._tallies.get(name)
        if tally is None:
            return None
        state = tally.state
        match state:
            case Window():
                return {"kind": "window", "limit": tally.limit, "window_s": tally.window_s, "slots": state.dump()}
            case Bucket():
                return {"kind": "bucket", "limit": tally.limit, "window_s": tally.window_s, "burst": tally.burst, "level": state.dump()}
            case Held():
                if tally.counter is None:
                    return {"kind": "held", "limit": tally.limit, **state.dump()} if state.leases else None
                return {"kind": "held", "limit": tally.limit, **state.dump(), "counter": counter_json(tally.counter)}

    def load(self, name: str, dumped: dict[str, Any]) -> None:
        """What `dump` gave, perhaps of another process."""
        limit = dumped["limit"]
        match dumped["kind"]:
            case "window":
                window = Window(limit, dumped["window_s"], LEASE_S)
                window.load(dumped["slots"])
                tally = _Tally(window, limit, dumped["window_s"])
            case "bucket":
                bucket = Bucket(limit, dumped["window_s"], dumped["burst"])
                bucket.load(dumped["level"])
                tally = _Tally(bucket, limit, dumped["window_s"], dumped["burst"])
            case _:
                held = Held(limit)
                held.load(dumped)
                tally = _Tally(held, limit, counter=counter_of(dumped["counter"]) if "counter" in dumped else None)
        self._tallies[name] = tally

    def ends(self, name: str, now: float) -> float:
        """From when on a counter is worth nothing, if nothing happens to it before. Infinity: always worth keeping."""
        tally = self._tallies[name]
        match tally.state:
            case Window():
                return now + 2 * tally.window_s + LEASE_S
            case Bucket():
                return now + tally.state.wait(tally.state.burst, now)
            case Held():
                return math.inf if tally.counter is None else tally.counter.ends

    # -- inside

    def _known(self, counter: Counter) -> bool:
        return not counter.spends or counter.name in self._tallies

    def _state(self, counter: Counter) -> Window | Bucket | Held:
        """The state of a known counter, as that is configured now. A window of another length begins anew."""
        tally = self._tallies.get(counter.name)
        if tally is None or (counter.kind is not Kind.HELD and (tally.window_s != counter.window_s or _kind(tally.state) != counter.kind)):
            tally = self._tallies[counter.name] = _Tally(_fresh(counter), counter.limit, counter.window_s, counter.burst)
        elif (tally.limit, tally.burst) != (counter.limit, counter.burst):
            if isinstance(tally.state, Bucket):
                bucket = Bucket(counter.limit, counter.window_s, counter.burst)
                bucket.load(tally.state.dump())
                bucket.level = min(bucket.level, float(bucket.burst))
                tally.state = bucket
            else:
                tally.state.limit = counter.limit
            tally.limit, tally.burst = counter.limit, counter.burst
        if counter.spends:
            tally.counter = counter
        return tally.state

    def _refused(self, wants: Sequence[Want], states: Sequence[Window | Bucket | Held], now: float) -> Refused | None:
        refused: Refused | None = None
        needed: dict[str, int] = {}
        for want, state in zip(wants, states, strict=True):
            counter = want.counter
            units = needed[counter.name] = needed.get(counter.name, 0) + want.units
            if counter.hard:
                wait_s = self._wait(state, counter, units, now)
                if wait_s > 0 and (refused is None or wait_s > refused.wait_s):
                    refused = Refused(counter, wait_s, self._used(state, counter.spends, now))
        return refused

    def _wait(self, state: Window | Bucket | Held, counter: Counter, units: int, now: float) -> float:
        """What others hold and may give back is worth waiting for; what is spent is not."""
        if not isinstance(state, Held):
            return state.wait(units, now)
        if units <= self._left(state, counter, now):
            return 0.0
        return LEASE_S if units <= state.limit - state.used else math.inf

    def _left(self, state: Window | Bucket | Held, counter: Counter, now: float) -> int:
        """Units that are free; negative when more were used than allowed."""
        match state:
            case Window():
                return state.limit - self._used(state, False, now)
            case Bucket():
                state.wait(0, now)
                return math.floor(state.level)
            case Held():
                return state.free if counter.spends else state.limit - self._used(state, False, now)

    def _used(self, state: Window | Bucket | Held, spends: bool, now: float) -> int:
        match state:
            case Window():
                state.wait(0, now)
                return state.used
            case Bucket():
                state.wait(0, now)
                return math.ceil(state.burst - state.level)
            case Held():
                if spends:
                    return state.used
                return sum(units for holder, units in state.leases.items() if now - self.seen.get(holder, -math.inf) < PRESENT_S)


def _fresh(counter: Counter) -> Window | Bucket | Held:
    match counter.kind:
        case Kind.WINDOW:
            return Window(counter.limit, counter.window_s, LEASE_S)
        case Kind.BUCKET:
            return Bucket(counter.limit, counter.window_s, counter.burst)
        case Kind.HELD:
            return Held(counter.limit)


def _kind(state: Window | Bucket | Held) -> Kind:
    return Kind.WINDOW if isinstance(state, Window) else Kind.BUCKET if isinstance(state, Bucket) else Kind.HELD


def _take(state: Window | Bucket | Held, holder: str, units: int, now: float) -> int:
    if isinstance(state, Held):
        if units:
            state.lease(holder, units)
        return 0
    return state.take(units, now)


def _give(state: Window | Bucket | Held, holder: str, slot: int, units: int, now: float) -> None:
    if units < 0:
        _take(state, holder, -units, now)
        return
    match state:
        case Window():
            state.give(slot, units)
        case Bucket():
            state.wait(0, now)
            state.give(units)
        case Held():
            left = state.leases.get(holder, 0) - units
            if left > 0:
                state.leases[holder] = left
            else:
                state.leases.pop(holder, None)
