"""The options of the stages, which stand under a stage's name in `chain`. See `model.py` for the rest."""

# ruff: noqa: RUF009 (option() makes a new field each time; nothing is shared)

from __future__ import annotations

from dataclasses import dataclass

from edgegate.config.option import PRIORITIES, Duration, Rate, Size, option


@dataclass(frozen=True, slots=True)
class JwtOptions:
    jwks: str = option("", "Where the issuer's public keys are: an `https://` URL of a JWKS document, or a file.")
    issuer: str = option("", "Required `iss`. Its `/.well-known/openid-configuration` names the JWKS, where `jwks` is left out.")
    audience: tuple[str, ...] = option((), "Required `aud`: one of these.")
    algorithms: tuple[str, ...] = option(("RS256", "ES256", "EdDSA"), "Signature algorithms that are accepted; never `none`.")
    leeway: Duration = option(Duration(30), "How far clocks may differ.", least=0)
    refresh: Duration = option(
        Duration(300), "How often the JWKS is read again; at once, but not too often, for an unknown key id.", least=1
    )
    tenant_claim: str = option("", "Claim that becomes the tenant, with dots into objects: `org.id`. Left out: no tenant.")
    user_claim: str = option("sub", "Claim that becomes the user.")
    name_claim: str = option(
        "", "Claim that stands for the caller in logs and in limits per key. Left out: `jwt:`, the tenant if there is one, and the user."
    )
    models_claim: str = option("", "Claim with a list of models that may be used. Left out, or not in the token: all.")


@dataclass(frozen=True, slots=True)
class AuthOptions:
    anonymous: bool = option(False, "Serve callers without a key although the listener is not on loopback.")
    query: bool = option(False, "Also accept `?api_key=` and `?key=`.")
    user_id: bool = option(False, "Accept `X-User-ID` from trusted networks as the caller.")
    sub_users: bool = option(
        True,
        "A caller whose key has no user may name its own: `X-User-ID`, else the body's `user`. They count apart in limits and in the "
        "ledger.",
    )
    jwt: JwtOptions | None = option(None, "Accept JSON Web Tokens as bearer tokens. Off, if left out.")


@dataclass(frozen=True, slots=True)
class LimitsOptions:
    requests: Rate | None = option(None, "Requests of each caller: `60/min`. A caller is a key, else a user, else an address.")
    tokens: Rate | None = option(None, "Tokens of each caller: `200k/min`.")
    concurrency: int = option(0, "Requests of each caller at once; 0: any number.", least=0)
    answer_tokens: int = option(4096, "What an answer is taken to have at most where the request sets no limit.", least=1)


@dataclass(frozen=True, slots=True)
class BudgetStageOptions:
    unpriced: str = option(
        "deny",
        "A model without a price where a hard budget in US dollars holds. deny: 403 that names the model. allow: it goes on, its "
        "cost is unknown and is not counted.",
        choices=("allow", "deny"),
    )
    answer_tokens: int = option(4096, "What an answer is taken to have at most where the request sets no limit.", least=1)


@dataclass(frozen=True, slots=True)
class CacheOptions:
    ttl: Duration = option(Duration(3600), "How long an answer is served again.", least=0.001)
    max_entries: int = option(10_000, "Entries kept; the least recently used goes first.", least=1)
    max_bytes: Size = option(Size(64 << 20), "Memory for entries.", least=1024)
    max_entry: Size = option(Size(1 << 20), "Largest answer that is kept.", least=1024)
    max_temperature: float = option(0.0, "Requests with a higher temperature are not cached; a request without one counts as 1.", least=0)


@dataclass(frozen=True, slots=True)
class RouteOptions:
    pass


@dataclass(frozen=True, slots=True)
class BreakerOptions:
    failures: int = option(5, "Failures in a row, within `window`, that open it; 0 switches breakers off.", least=0)
    window: Duration = option(Duration(60), "How long a failure counts.", least=0.001)
    reset: Duration = option(Duration(15), "How long an open breaker lets nothing through before it tries again.", least=0.001)
    probes: int = option(1, "Attempts at once while it tries again.", least=1)


@dataclass(frozen=True, slots=True)
class OutlierOptions:
    error_rate: float = option(0.5, "Share of failed attempts from which a target is used only where no other is left; 0: off.", least=0)
    latency: float = option(
        4.0, "The same for a target this many times slower than the median of its peers, and slower than 500 ms; 0: off.", least=0
    )
    requests: int = option(20, "Attempts in `window` below which nothing is concluded.", least=1)
    window: Duration = option(Duration(60), "The time that is looked at.", least=1)
    eject: Duration = option(Duration(30), "How long such a target stands back; longer each time, up to five times.", least=0.001)


@dataclass(frozen=True, slots=True)
class HedgeOptions:
    delay: Duration = option(Duration(2), "A second attempt starts when the first has not begun to answer by then.", least=0.001)
    max: int = option(1, "Further attempts beside the first.", least=1)
    max_cost_usd: float = option(0.05, "Most that a further attempt may cost; where the price is not known, none is made.", least=0)


@dataclass(frozen=True, slots=True)
class FailoverOptions:
    attempts: int = option(4, "Attempts in all, over all targets.", least=1)
    retries: int = option(1, "Further attempts at one target before the next is tried.", least=0)
    backoff: Duration = option(Duration(0.25), "Longest first wait between attempts at one target; doubles, with full jitter.", least=0)
    max_backoff: Duration = option(
        Duration(5), "Longest wait; a Retry-After beyond it moves on to the next target, or is passed on.", least=0.001
    )
    retry_budget: float = option(
        0.2, "Attempts at a target that has just failed, as a share of the attempts at its provider; ten more are free.", least=0
    )
    budget: Duration = option(Duration(90), "No further attempt starts when this time has passed since the first.", least=0.001)
    first_token: Duration = option(
        Duration(12), "Limit to the first meaningful event of a stream while another target is left; 0: the forward stage's.", least=0
    )
    plain_reply: Duration = option(
        Duration(60), "Limit to a whole plain reply while another target is left; 0: the forward stage's `total`.", least=0
    )
    breaker: BreakerOptions = option(BreakerOptions, "Breaker of each target.")
    outliers: OutlierOptions = option(OutlierOptions, "Targets that are worse than their peers.")
    hedge: HedgeOptions | None = option(None, "Attempts beside one that is slow to begin. Off, if left out.")
    also_on: tuple[str, ...] = option(
        (), "Further errors that move on to the next target: HTTP statuses or codes, e.g. `[401, 403, content_filter]`."
    )
    midstream: str = option(
        "error",
        "When a chat stream breaks after it began. error: an error event. continue: another target goes on writing (see `prefill`), "
        "or answers anew like restart. restart: another target answers anew; what the caller has is left out if the new answer begins "
        "with it, else there is an error event.",
        choices=("error", "continue", "restart"),
    )


@dataclass(frozen=True, slots=True)
class QueueOptions:
    concurrency: int = option(100, "Exchanges at once behind this stage, per worker.", least=1)
    size: int = option(1000, "Exchanges that may wait; more is answered 503 with Retry-After.", least=0)
    tenant_size: int = option(0, "Of these, how many of one tenant (key, if it has none); more is answered 429. 0: no such limit.", least=0)
    max_wait: Duration = option(Duration(30), "Longest wait; then 503 with Retry-After.", least=0.001)
    priority: str = option("normal", "Priority of callers whose key has none.", choices=PRIORITIES)


@dataclass(frozen=True, slots=True)
class IdempotencyOptions:
    ttl: Duration = option(Duration(86_400), "How long an answer is replayed for the same Idempotency-Key.", least=1)
    file: str = option("", "SQLite file that keeps the answers over restarts. Left out: they live as long as the gateway.")
    max_bytes: Size = option(Size(256 << 20), "Room for kept answers; the oldest go first.", least=1024)
    max_entry: Size = option(Size(8 << 20), "Largest answer that is kept.", least=1024)


@dataclass(frozen=True, slots=True)
class CoalesceOptions:
    max_temperature: float = option(0.0, "Requests with a higher temperature are not shared; a request without one counts as 1.", least=0)
    max_bytes: Size = option(
        Size(4 << 20), "What is kept of a running stream for those that join late; beyond it nobody joins.", least=1024
    )


@dataclass(frozen=True, slots=True)
class TranslateOptions:
    default_max_tokens: int = option(4096, "Sent to providers that require a limit when the client set none.", least=1)
    strict: bool = option(
        False, "Answer 400 naming the fields that the provider cannot carry, instead of leaving them out. Also `x-edgegate-strict: true`."
    )


@dataclass(frozen=True, slots=True)
class ForwardOptions:
    connect: Duration = option(Duration(5), "TCP and TLS set-up.", least=0.001)
    first_token: Duration = option(Duration(60), "From the request to the first meaningful event of a stream.", least=0.001)
    idle: Duration = option(Duration(30), "Between two events of a stream; comments and pings do not count.", least=0.001)
    total: Duration = option(Duration(600), "The whole attempt.", least=0.001)
    client_gone: str = option(
        "cancel",
        "When a caller leaves before its answer is complete. cancel: the provider's connection is closed within a second. drain: the "
        "answer is read to its end and metered.",
        choices=("cancel", "drain"),
    )
    max_reply: Size = option(Size(64 << 20), "Largest plain reply held in memory.", least=1024)


@dataclass(frozen=True, slots=True)
class MeterOptions:
    pass


STAGES: dict[str, type] = {
    "auth": AuthOptions,
    "limits": LimitsOptions,
    "cache": CacheOptions,
    "route": RouteOptions,
    "idempotency": IdempotencyOptions,
    "coalesce": CoalesceOptions,
    "queue": QueueOptions,
    "failover": FailoverOptions,
    "budget": BudgetStageOptions,
    "translate": TranslateOptions,
    "forward": ForwardOptions,
    "meter": MeterOptions,
}
"""Stages by the name they have in `chain`, with the options each takes."""

DEFAULT_CHAIN = ("auth", "limits", "idempotency", "route", "failover", "budget", "translate", "forward", "meter")
