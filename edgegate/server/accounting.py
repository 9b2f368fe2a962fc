"""Everything that a gateway has to do with money and keys, put together: stores, keys, limiter, ledger, recovery, prices, alerts.

One object per gateway (per worker process), which opens and closes them in the right order: what died before is recovered before
anything is reserved, and the ledger is the last to go, so that every row is written.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from edgegate.access.configured import configured_secrets
from edgegate.access.counters import Counter
from edgegate.access.rules import Rules
from edgegate.config.model import Config, PriceOptions
from edgegate.config.stages import AuthOptions, LimitsOptions
from edgegate.errors import GatewayError, Source
from edgegate.exchange import Exchange
from edgegate.ledger.books import Books
from edgegate.ledger.ledger import Ledger
from edgegate.ledger.prices import Prices
from edgegate.ledger.pricewatch import PriceWatch
from edgegate.ledger.recovery import Recovery, past
from edgegate.limiting.limiter import Limiter
from edgegate.observe.alerts import Alerts
from edgegate.observe.announce import announce_prices
from edgegate.observe.events import Events
from edgegate.observe.metrics import MAX_LABEL, Metrics
from edgegate.server.build import build_keys, needs_keys
from edgegate.server.keywatch import KeyWatch
from edgegate.stores.authority import Authority
from edgegate.stores.directory import Directory
from edgegate.stores.nowhere import Nowhere
from edgegate.stores.records import Records
from edgegate.tokens.count import Estimator
from edgegate.tokens.estimate import Estimates
from edgegate.upstream.side import Side

if TYPE_CHECKING:
    from edgegate.admin.api import Admin
    from edgegate.stores.redis import RedisLink

RECORDS, LEASES, KEYS = "records", "leases", "keys"
"""What stores are called in metrics and events."""

PRICES_S = 2.0
DAY_S = 86_400.0

COMPLAIN_S = 10.0
"""How often the log says that a store is away."""


class Reread:
    """How the configuration is read again: `read` gives it as its file is now, `files` are what to look at."""

    def __init__(self, read: Callable[[], Config], files: Sequence[Path]) -> None:
        self.read = read
        self.files = tuple(files)

    def prices(self) -> PriceOptions:
        return self.read().prices


class Accounting:
    """See the module. `share` is the directory of all workers, if there are several. Raises `ValueError` for stores that cannot be."""

    def __init__(self, config: Config, metrics: Metrics, events: Events, *, share: Path | None, reread: Reread | None = None) -> None:
        store = config.store
        self._config = config
        self._metrics = metrics
        self._events = events
        self._log = structlog.get_logger("store")
        self._complained: dict[str, float] = {}
        self._side = Side()
        self.estimator = Estimator()  # one for all: its data is large
        self.estimates = Estimates(self.estimator)
        self.holder = secrets.token_hex(8)
        self.prices = Prices.load(config.prices)
        stages = {stage.name: stage.options for stage in config.chain}
        self.keys = build_keys(config.keys, needs_keys(config, stages.get("auth", AuthOptions())))
        self.rules = Rules(config.limits, config.budgets, stages.get("limits", LimitsOptions()))
        self.keeps = bool(store.file or store.postgres)
        """Whether there is a ledger: without a store there is none, or memory would grow."""
        file = store.file or (str(share / "store.sqlite") if share is not None else "")
        self._records, self._directory = _stores(config, file, self.keeps)
        self._link = _link(config)
        self._authority = _authority(config, file, share, self._link)
        self._alerts = Alerts(config.alerts, events, metrics, self._side, time.time)
        deny = store.on_store_loss == "deny"
        self.limiter = Limiter(
            lambda counter: past(self._records, counter),
            holder=self.holder,
            authority=self._authority,
            deny_on_loss=deny,
            unix_clock=time.time,
            crossed=self._crossed,
            level=self._level,
            failed=lambda reason: self._store(LEASES if self._authority is not None else RECORDS, False, reason),
        )
        self.ledger = Ledger(
            self._records,
            self.holder,
            self.prices,
            metrics,
            commit_s=float(store.commit),
            buffer=store.buffer,
            deny_on_loss=deny,
            failed=lambda reason: self._store(RECORDS, False, reason),
        )
        self.books = Books(self.limiter, self.ledger if self.keeps else None)
        self._recovery = Recovery(
            self._records,
            self._authority,
            metrics,
            events,
            retention_s=float(store.retention),
            keeps=self.keeps,
            state=lambda up, reason: self._store(RECORDS, up, reason),
        )
        self._keywatch = (
            KeyWatch(
                self._directory,
                self.keys,
                on_error=lambda reason: self._store(KEYS, False, reason),
                on_back=lambda: self._store(KEYS, True, ""),
            )
            if self._directory is not None
            else None
        )
        self._pricewatch = (
            PriceWatch(self.prices, reread.prices, [*reread.files, *_files(config)], PRICES_S, announce_prices(metrics, events))
            if reread is not None
            else None
        )
        self.admin: Admin | None = None

    async def open(self) -> None:
        """Raises `ValueError` for a store that can never be used."""
        await self.ledger.open()
        if self._directory is not None:
            await self._directory.open()
        if self._link is not None:
            await self._link.open()
        if self._authority is not None:
            await self._authority.open(self.holder)
        await self._recovery.open()
        await self.limiter.open()
        if self._keywatch is not None:
            await self._keywatch.open()
        if self._pricewatch is not None:
            await self._pricewatch.open()
        if self._config.admin.keys and self._directory is not None and self._keywatch is not None:
            from edgegate.admin.api import Admin

            self.admin = Admin(
                self._config.admin,
                self._directory,
                self._records,
                standing=self.limiter.standing,
                static_keys=[secret.key for secret in configured_secrets(self._config.keys)],
                changed=self._keywatch.wake,
                unix_clock=time.time,
                token=secrets.token_bytes,
            )

    async def close(self) -> None:
        """Call when every exchange is recorded."""
        self.estimates.close()
        if self.admin is not None:
            await self.admin.close()
        if self._pricewatch is not None:
            await self._pricewatch.close()
        if self._keywatch is not None:
            await self._keywatch.close()
        await self._recovery.close()
        await self.limiter.close()
        if self._authority is not None:
            await self._authority.close()
        if self._link is not None:
            await self._link.close()
        if self._directory is not None:
            await self._directory.close()
        await self.ledger.close()
        await self._alerts.close()
        await self._side.close()

    async def usage(self, ex: Exchange) -> dict[str, Any]:
        """What the caller of an exchange has used, for `/v1/usage`."""
        if not self.keeps:
            message = "Usage is kept where a store is configured: `store.file` or `store.postgres`."
            raise GatewayError(404, "unknown_path", message, source=Source.CLIENT)
        from edgegate.admin.usage import own_usage

        return await own_usage(ex, self._records, time.time())

    # -- what happens

    def _crossed(self, counter: Counter, share: float, used: int) -> None:
        self._alerts.budget(counter.rule, counter.subject, counter.unit.value, used, counter.limit, share, counter.ends)

    def _level(self, counter: Counter, used: int) -> None:
        period = "day" if counter.ends - counter.since <= DAY_S else "month"
        labels = (counter.rule[:MAX_LABEL], counter.subject[:MAX_LABEL], counter.unit.value, period)
        self._metrics.budget_used.set(labels, round(used / counter.limit, 4))

    def _store(self, store: str, up: bool, reason: str) -> None:
        """A store answered or did not. It is said once in a while only: without it, every request would say so."""
        self._metrics.store.set((store,), float(up))
        if up:
            if self._complained.pop(store, None) is not None:
                self._events.emit("store_back", store=store)
            return
        self._metrics.store_errors.add((store,))
        now = time.monotonic()
        if now - self._complained.get(store, -COMPLAIN_S) >= COMPLAIN_S:
            first = store not in self._complained
            self._complained[store] = now
            if first:
                self._events.emit("store_lost", store=store, reason=reason)
            else:
                self._log.warning("store_lost", store=store, reason=reason[:200])


def _stores(config: Config, file: str, keeps: bool) -> tuple[Records, Directory | None]:
    """Where rows and keys are kept. Without a store and without operators there are no rows, and no keys but the configured ones."""
    if not keeps and not config.admin.keys:
        return Nowhere(), None
    from edgegate.stores.opening import stores_of

    return stores_of(config.store, file, keeps)


def _link(config: Config) -> RedisLink | None:
    if not config.store.redis:
        return None
    from edgegate.stores.redis import RedisLink

    return RedisLink(config.store.redis.reveal())


def _authority(config: Config, file: str, share: Path | None, link: RedisLink | None) -> Authority | None:
    """Who decides over counters: Redis for a fleet, a file for several workers, nobody but this process where it is alone."""
    if link is not None:
        from edgegate.stores.redis_authority import RedisAuthority

        return RedisAuthority(link, config.store.namespace)
    if share is None:
        return None
    from edgegate.stores.database import Database
    from edgegate.stores.sqlite_authority import SqliteAuthority

    return SqliteAuthority(Database(str(share / "leases.sqlite") if config.store.postgres else file))


def _files(config: Config) -> list[Path]:
    return [Path(config.prices.file)] if config.prices.file else []
