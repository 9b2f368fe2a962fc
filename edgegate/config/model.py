"""The options, as typed dataclasses: the one source of the loader's checks, the JSON Schema and the reference in docs/.

Every field has a default that is safe, and a sentence in its metadata (`doc`). Types say how YAML is read (see `option.py`). The
options of stages are in `stages.py`.
"""

# ruff: noqa: RUF009 (option() makes a new field each time; nothing is shared)

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgegate.config.option import DIMENSIONS, PRIORITIES, STRATEGIES, Duration, Rate, Secret, Size, option


@dataclass(frozen=True, slots=True)
class TlsOptions:
    cert: str = option("", "PEM file with the certificate chain.")
    key: str = option("", "PEM file with the private key.")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    listen: str = option("127.0.0.1:8080", "Address to serve on: `host:port`, `:port` for all interfaces, or `unix:/path`.")
    workers: int = option(1, "Worker processes that share the port.", least=1)
    tls: TlsOptions | None = option(None, "Serve HTTPS with this certificate.")
    max_body: Size = option(
        Size(32 << 20), "Largest request body; more is answered 413. Relayed paths stream and are not limited.", least=1024
    )
    max_header: Size = option(Size(16 << 10), "Largest single request header line.", least=1024)
    head_timeout: Duration = option(Duration(10), "Time for a request's head to arrive in full.", least=0.001)
    body_timeout: Duration = option(Duration(60), "Time for a request's body to arrive in full.", least=0.001)
    write_timeout: Duration = option(Duration(60), "How long a client may refuse to read before it is dropped.", least=0.001)
    keepalive: Duration = option(Duration(75), "How long an idle client connection is kept open.", least=0.001)
    drain: Duration = option(Duration(30), "After SIGTERM: how long running exchanges may go on.", least=0)
    max_in_flight: int = option(10_000, "Exchanges at once per worker; more is answered 503 with Retry-After.", least=1)
    max_lag: Duration = option(Duration(2), "New requests are answered 503 while the event loop runs later than this; 0 switches it off.")
    max_memory: Size = option(Size(0), "New requests are answered 503 while a worker is larger than this; 0 switches it off.")
    trusted_proxies: tuple[str, ...] = option((), "Networks (CIDR) whose X-User-ID and X-Forwarded-For are believed.")


@dataclass(frozen=True, slots=True)
class TimeoutOptions:
    connect: Duration = option(Duration(5), "TCP and TLS set-up.", least=0.001)
    first_token: Duration = option(Duration(60), "From the request to the first meaningful event of a stream.", least=0.001)
    idle: Duration = option(Duration(30), "Between two events of a stream; comments and pings do not count.", least=0.001)
    total: Duration = option(Duration(600), "The whole attempt; for a plain reply this is its only limit after connect.", least=0.001)


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    dialect: str = option(
        "",
        "Wire format: openai, openai-responses, azure, anthropic, gemini, vertex, bedrock, mistral, cohere, ollama, or a name of the "
        "compat table such as groq. The provider's own name, if left out.",
    )
    base_url: str = option("", "Address, e.g. `https://api.openai.com/v1`. The vendor's public one, if left out.")
    api_key: Secret = option(lambda: Secret(""), "Credential sent to the provider.")
    api_keys: tuple[Secret, ...] = option(
        (), "Several credentials instead of one: requests are spread over them, and one that is refused (401, 403, 429) rests."
    )
    balance: str = option(
        "least_in_flight", "How requests are spread over `api_keys`; the words are those of `models.balance`.", choices=STRATEGIES
    )
    max_in_flight: int = option(0, "Attempts at once at one model of this provider, per worker; 0: as many as connections.", least=0)
    prefill: tuple[str, ...] = option(
        (),
        "Models (`*` at the end matches any rest) that go on writing an assistant message that the request ends with. Left out: what "
        "is known of the dialect. `[none]`: no model does.",
    )
    models: tuple[str, ...] = option((), "Models it serves, listed by /v1/models and routed here by name.")
    deployments: dict[str, str] = option(
        dict,
        "What the provider itself calls a model, by the name apps use: an Azure deployment, a Bedrock inference profile. These names "
        "are listed and routed here too.",
    )
    prefixes: tuple[str, ...] = option((), "Model name prefixes routed here, e.g. `gpt-`. The vendor's usual ones, if left out.")
    headers: dict[str, str] = option(dict, "Further request headers.", secret=True)
    timeouts: TimeoutOptions | None = option(None, "Overrides the forward stage's time limits for this provider.")
    max_connections: int = option(1000, "Connections at once per worker.", least=1)
    ca_file: str = option("", "PEM file of certificate authorities to trust instead of the system's.")
    relay: bool = option(True, "Whether `/<provider>/*` passes other paths of this provider through.")
    loss: str = option(
        "map",
        "Fields that the provider has no counterpart for. map: written another way where there is one near to it, else left out and "
        "named. drop: left out and named. reject: 400 naming them.",
        choices=("map", "drop", "reject"),
    )
    responses: str = option(
        "auto",
        "Dialect openai: whether the provider has `/responses` itself. auto: api.openai.com has, other addresses have not. native: "
        "requests of the Responses API go there as they are. translate: they become chats.",
        choices=("auto", "native", "translate"),
    )
    token_file: str = option("", "File that holds the bearer token, read again when it changes: Vertex, Entra ID.")
    token_command: tuple[str, ...] = option(
        (), "Command that prints the bearer token, e.g. `[gcloud, auth, print-access-token]`; run again every `token_lifetime`."
    )
    token_lifetime: Duration = option(Duration(1800), "How long a token of `token_command` is used.", least=1)
    api_version: str = option(
        "", "Azure: the dated `api-version` of the deployment URLs. Left out or `preview`: the newer `/openai/v1/` URLs."
    )
    region: str = option("", "Bedrock: the AWS region. Left out: AWS_REGION.")
    profile: str = option("", "Bedrock: the profile in ~/.aws. Left out: AWS_PROFILE.")
    project: str = option("", "Vertex: the Google Cloud project. Left out: GOOGLE_CLOUD_PROJECT.")
    location: str = option("", "Vertex: the location. Left out: GOOGLE_CLOUD_LOCATION, or `global`.")


@dataclass(frozen=True, slots=True)
class BalanceOptions:
    strategy: str = option(
        "weighted",
        "ordered: the first that is well. weighted: by chance, in proportion. least_in_flight: the one with the fewest attempts "
        "running, for its weight. lowest_latency: the quickest of late, with a little exploring. affinity: the same conversation "
        "to the same target, so that its prompt cache is warm.",
        choices=STRATEGIES,
    )
    targets: dict[str, float] = option(dict, "Targets that may serve the name, with their weights: `azure-east/gpt-4o: 3`.")


@dataclass(frozen=True, slots=True)
class ModelOptions:
    aliases: dict[str, str] = option(dict, "Other names for models: `fast: groq/llama-3.1-8b-instant`.")
    balance: dict[str, BalanceOptions] = option(
        dict, "Names that several equal targets serve: `gpt-4o: {targets: {azure-east/gpt-4o: 3, openai/gpt-4o: 1}}`."
    )
    fallbacks: dict[str, tuple[str, ...]] = option(
        dict,
        "Targets to try next when a model fails, in order: `gpt-4o: [anthropic/claude-sonnet-4-5, llama-70b]`. One of them may be a "
        "name of `balance`.",
    )
    larger_context: dict[str, tuple[str, ...]] = option(
        dict, "Targets for prompts that are too long for a model, in order: `gpt-4o-mini: [gemini/gemini-2.5-flash]`."
    )
    default_provider: str = option(
        "",
        "Where unknown model names go. If left out: to the only provider, or to the only one without models and prefixes; "
        "else they are refused with 404.",
    )


@dataclass(frozen=True, slots=True)
class KeyOptions:
    name: str = option("", "Shown in logs and metrics in place of the key.")
    key: Secret = option(lambda: Secret(""), "The key itself; only its hash is kept.")
    hash: str = option("", "Instead of `key`: `sha256:<64 hex digits>` of it.")
    tenant: str = option("", "Tenant it belongs to.")
    user: str = option("", "User it belongs to.")
    tags: tuple[str, ...] = option((), "Words that stand in its rows of the ledger.")
    models: tuple[str, ...] = option((), "Models it may use (`*` at the end matches any rest); all, if left out.")
    providers: tuple[str, ...] = option((), "Providers it may use; all, if left out.")
    endpoints: tuple[str, ...] = option(
        (),
        "Paths it may use (`*` at the end matches any rest), such as `/v1/chat/completions`, or operations such as `chat`; all, "
        "if left out.",
    )
    networks: tuple[str, ...] = option((), "Networks (CIDR) it may be used from; all, if left out.")
    expires: str = option("", "When it ends: a date or moment such as `2027-01-31` or `2027-01-31T12:00:00Z`.")
    requests: Rate | None = option(None, "Requests: `60/min`, `/hour` or `/day`.")
    tokens: Rate | None = option(None, "Tokens: `200k/min`, `/hour` or `/day`.")
    concurrency: int = option(0, "Requests at once; 0: any number.", least=0)
    usd_per_day: float = option(0.0, "Hard budget in US dollars per day (UTC); 0: none.", least=0)
    usd_per_month: float = option(0.0, "Hard budget in US dollars per calendar month (UTC); 0: none.", least=0)
    tokens_per_day: int = option(0, "Hard budget in tokens per day; 0: none.", least=0)
    tokens_per_month: int = option(0, "Hard budget in tokens per calendar month; 0: none.", least=0)
    strict: bool = option(False, "Like the translate stage's `strict`, for this key.")
    priority: str = option(
        "",
        "Priority in the queue stage, and the highest that its requests may ask for with `x-edgegate-priority`.",
        choices=("", *PRIORITIES),
    )


@dataclass(frozen=True, slots=True)
class LimitOptions:
    name: str = option("", "Shown to whoever runs into it. Left out: made of what it is for.")
    per: tuple[str, ...] = option(
        (), "What is counted apart: `[key]`, `[user, model]`, ... Left out: all together. With `model` or `provider` it counts attempts.",
        choices=DIMENSIONS,
    )  # fmt: skip
    keys: tuple[str, ...] = option((), "Only for these keys (`*` at the end matches any rest).")
    users: tuple[str, ...] = option((), "Only for these users.")
    tenants: tuple[str, ...] = option((), "Only for these tenants.")
    models: tuple[str, ...] = option((), "Only for these models, by the provider's names.")
    providers: tuple[str, ...] = option((), "Only for these providers.")
    requests: Rate | None = option(None, "Requests: `60/min`, `1000/hour`, `10k/day`.")
    tokens: Rate | None = option(None, "Tokens, of prompts and answers: `200k/min`.")
    concurrency: int = option(0, "Requests at once; 0: any number.", least=0)
    algorithm: str = option(
        "sliding_window",
        "sliding_window: never more than the limit in any stretch of that length. token_bucket: refilled evenly, `burst` at once.",
        choices=("sliding_window", "token_bucket"),
    )
    burst: int = option(0, "Units that a token bucket holds; 0: as many as the limit.", least=0)


@dataclass(frozen=True, slots=True)
class BudgetOptions:
    name: str = option("", "Shown to whoever runs into it. Left out: made of what it is for.")
    per: tuple[str, ...] = option(
        (), "What is counted apart: `[key]`, `[tenant]`, `[user, model]`, ... Left out: all together.", choices=DIMENSIONS
    )
    keys: tuple[str, ...] = option((), "Only for these keys (`*` at the end matches any rest).")
    users: tuple[str, ...] = option((), "Only for these users.")
    tenants: tuple[str, ...] = option((), "Only for these tenants.")
    models: tuple[str, ...] = option((), "Only for these models, by the provider's names.")
    providers: tuple[str, ...] = option((), "Only for these providers.")
    usd: float = option(0.0, "US dollars per period; 0: not limited in money.", least=0)
    tokens: int = option(0, "Tokens per period; 0: not limited in tokens.", least=0)
    period: str = option("month", "A calendar month or a day, in UTC.", choices=("day", "month"))
    hard: bool = option(True, "Whether requests are refused when it is used up. If not, it only alerts.")
    alerts: tuple[float, ...] = option((0.8, 0.95), "Shares of it at which an alert is given, once each.", least=0)


@dataclass(frozen=True, slots=True)
class AlertOptions:
    webhook: str = option("", "URL that gets a JSON document by POST for each alert of a budget.")
    headers: dict[str, str] = option(dict, "Further headers of that request.", secret=True)
    timeout: Duration = option(Duration(5), "For one delivery; a failed one is tried three times.", least=0.1)


@dataclass(frozen=True, slots=True)
class StoreOptions:
    file: str = option("", "SQLite file for keys, ledger and audit. Left out, and without `postgres`: they live as long as the gateway.")
    postgres: Secret = option(lambda: Secret(""), "URL of a PostgreSQL database, `postgresql://...`, that takes the file's place.")
    redis: Secret = option(
        lambda: Secret(""), "URL of a Redis or Valkey server, `redis://...`, for limits and budgets over several machines."
    )
    namespace: str = option("edgegate", "Prefix of names in Redis, and schema in PostgreSQL.")
    on_store_loss: str = option(
        "allow",
        "While a store cannot be reached. allow: requests go on, and what they used is counted later. deny: 503 once what was "
        "leased before is used up.",
        choices=("allow", "deny"),
    )
    commit: Duration = option(
        Duration(0.1), "What a crash may cost: rows of the ledger are on disk after this time. 0: before each attempt is sent.", least=0
    )
    buffer: int = option(100_000, "Rows that wait in memory, per worker, while the store cannot be reached.", least=1)
    retention: Duration = option(Duration(400 * 86_400), "How long rows of the ledger are kept; daily sums stay.", least=86_400)


@dataclass(frozen=True, slots=True)
class AdminKeyOptions:
    name: str = option("", "Who it is, in the audit record.")
    key: Secret = option(lambda: Secret(""), "The key itself; only its hash is kept.")
    hash: str = option("", "Instead of `key`: `sha256:<64 hex digits>` of it.")
    role: str = option("admin", "admin: everything. viewer: reads only.", choices=("admin", "viewer"))


@dataclass(frozen=True, slots=True)
class AdminOptions:
    listen: str = option("127.0.0.1:9464", "Address of the admin API, apart from the one for apps: `host:port` or `unix:/path`.")
    keys: tuple[AdminKeyOptions, ...] = option((), "Who may use it. Without any, there is no admin API.")


@dataclass(frozen=True, slots=True)
class LogOptions:
    level: str = option("info", "Least severity that is written.", choices=("debug", "info", "warning", "error"))
    format: str = option("json", "One JSON object per line, or text for people.", choices=("json", "pretty"))
    file: str = option("", "Where to write; standard output, if left out.")
    prompts: bool = option(False, "Write request bodies into the log at level debug. Off: prompts appear nowhere.")


@dataclass(frozen=True, slots=True)
class PriceOptions:
    file: str = option("", "Price catalogue in edgegate's format, added to the one that ships with it.")
    models: dict[str, dict[str, float]] = option(
        dict,
        "US dollars per million tokens by model: `{input, output, cached, cache_write, cache_write_1h, reasoning, input_audio, "
        "output_audio}`; also for another service tier: `{batch_input, flex_output, priority_cached, ...}`.",
    )


@dataclass(frozen=True, slots=True)
class MetricsOptions:
    max_series: int = option(1000, "Distinct label sets per metric; further ones are counted under `other`.", least=1)


@dataclass(frozen=True, slots=True)
class StageOptions:
    """One entry of `chain`: a name, or a name with its options."""

    name: str
    options: Any


@dataclass(frozen=True, slots=True)
class Config:
    server: ServerOptions = option(ServerOptions, "The listener.")
    providers: dict[str, ProviderOptions] = option(dict, "Providers by name. Those whose usual variable is set need no entry.")
    models: ModelOptions = option(ModelOptions, "How model names become targets.")
    keys: tuple[KeyOptions, ...] = option((), "Static keys of callers. More are made with `edgegate keys` and over the admin API.")
    limits: tuple[LimitOptions, ...] = option((), "Limits on requests, tokens and concurrency.")
    budgets: tuple[BudgetOptions, ...] = option((), "Budgets in US dollars and tokens.")
    alerts: AlertOptions = option(AlertOptions, "Who is told when a budget runs out.")
    chain: tuple[StageOptions, ...] = option((), "Stages in order.")
    store: StoreOptions = option(StoreOptions, "Where keys, ledger, audit, limits and budgets are kept.")
    admin: AdminOptions = option(AdminOptions, "The admin API.")
    prices: PriceOptions = option(PriceOptions, "What tokens cost.")
    log: LogOptions = option(LogOptions, "Logging.")
    metrics: MetricsOptions = option(MetricsOptions, "Metrics.")
