"""The limiter: reserves units of several accounts, all or none, and settles them when it is known what was used.

Where the accounts of this process suffice, `reserve_nowait` does it without waiting. Else `reserve` asks the authority, or the
ledger for what was spent before. While a store is away, `on_store_loss` decides: requests go on and are counted later, or are
refused with 503. A refusal is a 429 in the words of the limit, with the time after which it may be different.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from edgegate.access.counters import Counter, Kind
from edgegate.errors import GatewayError
from edgegate.limiting.account import ASK, PLACES, Account, OwnHeld, Used, own_account
from edgegate.limiting.leased import Leased
from edgegate.stores.authority import Authority, Grant, Refused, Unknown, Want
from edgegate.stores.base import StoreError

LOOK_S = 0.25
MAX_ACCOUNTS = 100_000
"""Beyond it, those that hold nothing are looked for every second: callers choose users and addresses."""

TRIES = 3
"""How often a reservation is asked for again because the authority had forgotten a counter."""

NOTHING: Used = (0, 0, 0, 0)

Asked = Sequence[tuple[Account, int]]
Past = Callable[[Counter], Awaitable[dict[str, int]]]
"""What each holder has spent in a counter's period, by the ledger. Raises `StoreError`."""


Part = tuple[Account, int, int]
Hold = list[Part]
"""What one reservation took: account, slot, units. Places stand last."""


class OverLimit(Exception):
    """A reservation that was refused by this counter. wait_s: when it may be different; infinity: not before the period ends."""

    def __init__(self, counter: Counter, wait_s: float, used: int) -> None:
        super().__init__(counter.name)
        self.counter = counter
        self.wait_s = wait_s
        self.used = used


class Limiter:
    """See the module. Without an `authority` this process decides alone. `crossed` is told when a budget has passed one of its
    shares, once over all processes; `level`, every second, how much of each budget is used. Open and close belong to the event loop
    that serves."""

    def __init__(
        self,
        past: Past,
        *,
        holder: str,
        authority: Authority | None,
        deny_on_loss: bool,
        unix_clock: Callable[[], float],
        crossed: Callable[[Counter, float, int], None],
        level: Callable[[Counter, int], None],
        failed: Callable[[str], None],
    ) -> None:
        self._past = past
        self._holder = holder
        self._authority = authority
        self._deny = deny_on_loss
        self._clock = unix_clock
        self._crossed = crossed
        self._level = level
        self._failed = failed
        self._accounts: dict[str, Account] = {}
        self.generation = 0
        """Changes when accounts were forgotten or have another limit: whoever remembers some must ask for them again."""
        self._beginnings: dict[str, asyncio.Task[None]] = {}  # by counter: what was spent before is being found out
        self._shares: dict[str, list[float]] = {}  # alerts that were not given yet, by counter
        self._task: asyncio.Task[None] | None = None
        self._certain = asyncio.Lock()  # held while the authority is told of accounts in doubt

    async def open(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._look_after())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()
            self._task = None
        beginnings = list(self._beginnings.values())
        for beginning in beginnings:
            beginning.cancel()
        await asyncio.gather(*beginnings, return_exceptions=True)
        if self._authority is not None:
            for account in self._leased():
                account.surrender()
            await self._tell()

    # -- accounts

    def account(self, counter: Counter) -> Account:
        """The account of a counter. One whose rule was changed goes on with the new limit."""
        account = self._accounts.get(counter.name)
        if account is None:
            account = self._accounts[counter.name] = self._new(counter)
        elif account.counter.limit != counter.limit or account.counter.burst != counter.burst:
            account.adjust(counter)
            self.generation += 1
            if isinstance(account, OwnHeld):
                self._alert(account)
        return account

    def _new(self, counter: Counter) -> Account:
        if counter.alerts:
            self._shares[counter.name] = sorted(counter.alerts)
        return Leased(counter) if self._authority is not None else own_account(counter)

    def _forget(self, now: float) -> None:
        idle = [name for name, account in self._accounts.items() if account.idle(now) and name not in self._beginnings]
        for name in idle:
            del self._accounts[name]
            self._shares.pop(name, None)
        if idle:
            self.generation += 1

    # -- reserving

    def reserve_nowait(self, asked: Asked, now: float) -> Hold | None:
        """Reserves at once; None if somebody has to be asked. Raises `OverLimit`."""
        hold: Hold = []
        for account, units in asked:
            slot = account.take(units, now)
            if slot < 0:
                self.settle(hold, NOTHING, now)
                wait_s = account.wait(units, now)
                if wait_s == ASK:
                    return None
                raise OverLimit(account.counter, wait_s, account.used)
            hold.append((account, slot, units))
        return hold

    async def reserve(self, asked: Asked) -> Hold:
        """Reserves, asking whom it takes. Raises `OverLimit`, or a 503 while a store is away and `on_store_loss` is `deny`."""
        now = self._clock()
        hold: Hold = []
        lacking: list[tuple[Account, int]] = []
        whole = False
        try:
            for account, units in asked:
                slot = account.take(units, now)
                if slot >= 0:
                    hold.append((account, slot, units))
                elif (wait_s := account.wait(units, now)) == ASK:
                    lacking.append((account, units))
                else:
                    raise OverLimit(account.counter, wait_s, account.used)
            if lacking:
                hold += await (self._ask(lacking) if self._authority is not None else self._begin_own(lacking))
            whole = True
        finally:
            if not whole:
                self.settle(hold, NOTHING, now)
        hold.sort(key=_places_last)
        return hold

    async def _begin_own(self, lacking: Sequence[tuple[Account, int]]) -> Hold:
        """Finds out what was spent before, once for each counter, and reserves then. Where that cannot be found out now and requests
        go on all the same, the next one tries again."""
        for account, _ in lacking:
            assert isinstance(account, OwnHeld)
            if not account.begun:
                try:
                    await self._begin(account)
                except StoreError as error:
                    self._lost(error)
        now = self._clock()
        hold: Hold = []
        for account, units in lacking:
            assert isinstance(account, OwnHeld)
            slot = account.take(units, now) if account.begun else account.take_blindly(units)
            if slot < 0:
                self.settle(hold, NOTHING, now)
                raise OverLimit(account.counter, account.wait(units, now), account.used)
            hold.append((account, slot, units))
        return hold

    async def _begin(self, account: OwnHeld) -> None:
        """Returns when it is known what was spent before: the ledger is asked once for all that wait. Raises `StoreError`."""
        name = account.counter.name
        task = self._beginnings.get(name)
        if task is None:
            task = self._beginnings[name] = asyncio.get_running_loop().create_task(self._read_past(account))
            task.add_done_callback(lambda done: self._has_read(name, done))
        await asyncio.shield(task)

    async def _read_past(self, account: OwnHeld) -> None:
        by_holder = await self._past(account.counter)
        own = by_holder.get(self._holder, 0)  # what was spent here while nobody could ask is there as well, as far as it was written
        before = sum(by_holder.values()) - min(own, account.spent)
        account.begin(before)
        self._drop_alerts(account.counter, before)
        self._alert(account)

    def _has_read(self, name: str, task: asyncio.Task[None]) -> None:
        self._beginnings.pop(name, None)
        if not task.cancelled():
            task.exception()  # whoever waits is told; perhaps nobody does any more

    async def _ask(self, lacking: Sequence[tuple[Account, int]]) -> Hold:
        authority = self._authority
        assert authority is not None
        accounts = [(account, units) for account, units in lacking if isinstance(account, Leased)]
        if any(account.doubtful for account, _ in accounts):
            async with self._certain:  # it is being found out what they hold
                pass
        wants = [Want(account.counter, units, 0 if account.asking else account.usual) for account, units in accounts]
        for account, _ in accounts:
            account.asking += 1
        try:
            answer = await self._take(authority, accounts, wants)
        except (StoreError, asyncio.CancelledError) as error:
            for account, _ in accounts:
                account.doubtful = True  # it may have been granted
            if isinstance(error, asyncio.CancelledError):
                raise
            self._lost(error)
            return [(account, account.without(units), units) for account, units in accounts]
        finally:
            for account, _ in accounts:
                account.asking -= 1
        now = self._clock()
        if isinstance(answer, Refused):
            hold = self._here(lacking, now)  # what another call was granted beyond its need, or what was settled meanwhile
            if hold is not None:
                return hold
            for account, units in accounts:
                if account.counter.name == answer.counter.name:
                    account.refused(units, answer.wait_s, answer.used, now)
            raise OverLimit(answer.counter, answer.wait_s, answer.used)
        return [_granted(account, units, grant, now) for (account, units), grant in zip(accounts, answer, strict=True)]

    def _here(self, asked: Asked, now: float) -> Hold | None:
        """Reserves of what this process has, or nothing."""
        hold: Hold = []
        for account, units in asked:
            slot = account.take(units, now)
            if slot < 0:
                self.settle(hold, NOTHING, now)
                return None
            hold.append((account, slot, units))
        return hold

    async def _take(self, authority: Authority, accounts: Sequence[tuple[Leased, int]], wants: Sequence[Want]) -> list[Grant] | Refused:
        for account, _ in accounts:
            if not account.begun:
                account.begin((await self._past(account.counter)).get(self._holder, 0))
        for _ in range(TRIES):
            answer = await authority.take(wants)
            if not isinstance(answer, Unknown):
                return answer
            for counter in answer.counters:
                past = await self._past(counter)
                await authority.begin(counter, past)
                self._drop_alerts(counter, sum(past.values()))
        raise StoreError("the authority forgets counters")

    def _drop_alerts(self, counter: Counter, spent: int) -> None:
        """Alerts for shares that were passed before were given then."""
        shares = self._shares.get(counter.name)
        while shares and spent >= shares[0] * counter.limit:
            shares.pop(0)

    def _lost(self, error: StoreError) -> None:
        """A store is away. Raises the 503 if requests may not go on."""
        self._failed(str(error))
        if self._deny:
            message = "The gateway cannot reach the store that counts limits and budgets."
            raise GatewayError(503, "store_unavailable", message, retryable=True, retry_after_s=1.0) from None

    # -- settling

    def settle(self, hold: Hold, used: Used, now: float) -> None:
        """What was reserved has been used: so many requests, tokens, places (none) and nano-dollars. What was counted and is not
        used is given back."""
        for account, slot, units in hold:
            really = used[account.sort]
            if slot > 0 and really == units:  # of a window, as reserved
                continue
            account.settle(slot, units, really, now)
            if account.spent >= account.alert_at:
                self._alert(account)

    def leave(self, hold: Hold, now: float) -> None:
        """Gives back the places of a hold, which loses them."""
        while hold and hold[-1][0].sort == PLACES:
            account, slot, units = hold.pop()
            account.settle(slot, units, 0, now)

    def _alert(self, account: Account) -> None:
        """Alerts of a budget that this process spends alone."""
        counter = account.counter
        shares = self._shares.get(counter.name, [])
        while shares and account.spent >= shares[0] * counter.limit:
            self._crossed(counter, shares.pop(0), account.spent)
        account.alert_at = shares[0] * counter.limit if shares else math.inf

    # -- leases

    async def _look_after(self) -> None:
        """Until cancelled: gives back what is not needed, tells what was spent, forgets what is over."""
        turn = 0
        while True:
            await asyncio.sleep(LOOK_S)
            turn += 1
            await self.look()
            if turn % 4 == 0:
                for account in self._accounts.values():
                    if account.counter.spends:
                        self._level(account.counter, account.used)
            if turn % (240 if len(self._accounts) < MAX_ACCOUNTS else 4) == 0:
                self._forget(self._clock())

    async def look(self) -> None:
        """One turn of looking after leases. Without an authority there are none."""
        if self._authority is not None:
            now = self._clock()
            for account in self._leased():
                account.look(now)
            await self._tell()

    async def _tell(self) -> None:
        authority = self._authority
        assert authority is not None
        owing = [account for account in self._leased() if account.owed]
        spending = [account for account in self._leased() if account.spent != account.spent_told]
        doubtful = [account for account in self._leased() if account.doubtful and not account.asking]
        returns = [item for account in owing for item in account.owed]
        totals = [account.spent for account in spending]
        for account in owing:
            account.owed = []
        async with self._certain:  # nobody asks for accounts in doubt meanwhile
            held = [(account.counter, account.lease) for account in doubtful if account.counter.kind is Kind.HELD]
            try:
                known = await authority.tell(returns, [(a.counter, total) for a, total in zip(spending, totals, strict=True)], held)
            except StoreError as error:
                self._failed(str(error))
                for account in owing:
                    if account.counter.kind is Kind.HELD:
                        account.doubtful = True  # what was to go back has gone, or is told with the whole lease
                    else:  # units of windows come back by themselves; what was used beyond must be told
                        account.owed += [item for item in returns if item.counter is account.counter and item.units < 0]
                return
            for account in doubtful:
                account.doubtful = False
        for account, total in zip(spending, totals, strict=True):
            if account.counter.name not in known:  # the authority has lost it: it is begun anew by who asks next, and told then
                continue
            account.spent_told = total
            account.total = known[account.counter.name]
            await self._alert_shared(account)

    async def _alert_shared(self, account: Leased) -> None:
        """Alerts of a budget that several processes spend: whoever claims one gives it."""
        counter = account.counter
        shares = self._shares.get(counter.name)
        while shares and account.total >= shares[0] * counter.limit:
            assert self._authority is not None
            try:
                first = await self._authority.first(f"alert|{counter.name}|{shares[0]}", counter.ends)
            except StoreError as error:
                self._failed(str(error))
                return
            share = shares.pop(0)
            if first:
                self._crossed(counter, share, account.total)

    def _leased(self) -> Iterable[Leased]:
        return [account for account in self._accounts.values() if isinstance(account, Leased)]

    # -- looking

    def standing(self) -> list[dict[str, Any]]:
        """What is used of every limit and budget that this process knows of. Units as the counters count."""
        return [
            {
                "rule": counter.rule,
                "subject": counter.subject,
                "unit": counter.unit.value,
                "limit": counter.limit,
                "used": account.used,
                "window_s": counter.window_s or None,
                "period_ends": None if math.isinf(counter.ends) else counter.ends,
                "hard": counter.hard,
            }
            for account in self._accounts.values()
            for counter in (account.counter,)
        ]


def _places_last(part: Part) -> bool:
    return part[0].sort == PLACES


def _granted(account: Leased, units: int, grant: Grant, now: float) -> Part:
    return account, account.granted(units, grant.units - units, grant.slot, now), units
