"""Every environment variable that is honoured, and the option it sets."""

from __future__ import annotations

from dataclasses import dataclass

SWITCH, SET, PORT, ADMIN = "switch", "set", "port", "admin"


@dataclass(frozen=True, slots=True)
class Variable:
    """`path` is the option it sets: a key path, or `chain.<stage>.<options>`, which holds only where the chain has that stage.
    `unit` is written behind plain numbers that mean something else than seconds there."""

    name: str
    path: str
    doc: str
    does: str = SET
    unit: str = ""


VARIABLES = (
    Variable("LLM_GATEWAY_SERVER_PORT", "server.listen", "Port to listen on; the host stays.", PORT),
    Variable("LLM_GATEWAY_LOG_LEVEL", "log.level", "Least severity that is logged."),
    Variable("LLM_GATEWAY_LOG_FORMAT", "log.format", "json or pretty."),
    Variable("LLM_GATEWAY_PROVIDERS_DEFAULT", "models.default_provider", "Where unknown model names go."),
    Variable("LLM_GATEWAY_CACHE_ENABLED", "chain.cache", "true adds the cache stage after auth and limits, false removes it.", SWITCH),
    Variable("LLM_GATEWAY_CACHE_TTL", "chain.cache.ttl", "How long an answer is served again, if there is a cache stage."),
    Variable("LLM_GATEWAY_CACHE_MAX_ENTRIES", "chain.cache.max_entries", "Entries kept, if there is a cache stage."),
    Variable(
        "LLM_GATEWAY_RELIABILITY_CIRCUIT_BREAKER_FAILURE_THRESHOLD", "chain.failover.breaker.failures", "Failures that open a breaker."
    ),
    Variable("LLM_GATEWAY_RELIABILITY_CIRCUIT_BREAKER_TIMEOUT", "chain.failover.breaker.reset", "How long a breaker stays open."),
    Variable("LLM_GATEWAY_RELIABILITY_CIRCUIT_BREAKER_MAX_HALF_OPEN_REQUESTS", "chain.failover.breaker.probes", "Probes at once."),
    Variable("LLM_GATEWAY_RELIABILITY_RETRY_MAX_RETRIES", "chain.failover.retries", "Further attempts at one target."),
    Variable("LLM_GATEWAY_RELIABILITY_RETRY_INITIAL_BACKOFF", "chain.failover.backoff", "Longest first wait between attempts."),
    Variable("LLM_GATEWAY_RELIABILITY_RETRY_MAX_BACKOFF", "chain.failover.max_backoff", "Longest wait between attempts."),
    Variable(
        "LLM_GATEWAY_PERFORMANCE_QUEUE_ENABLED", "chain.queue", "true adds the queue stage after auth and limits, false removes it.", SWITCH
    ),
    Variable("LLM_GATEWAY_PERFORMANCE_QUEUE_MAX_QUEUE_SIZE", "chain.queue.size", "Exchanges that may wait, if there is a queue stage."),
    Variable("LLM_GATEWAY_PERFORMANCE_QUEUE_MAX_WAIT_TIME", "chain.queue.max_wait", "Longest wait, if there is a queue stage."),
    Variable("LLM_GATEWAY_PERFORMANCE_QUEUE_WORKER_COUNT", "chain.queue.concurrency", "Exchanges at once, if there is a queue stage."),
    Variable("CIRCUIT_BREAKER_MAX_FAILURES", "chain.failover.breaker.failures", "Failures that open a breaker."),
    Variable("CIRCUIT_BREAKER_TIMEOUT_SECONDS", "chain.failover.breaker.reset", "How long a breaker stays open."),
    Variable("HEDGING_DELAY_MS", "chain.failover.hedge.delay", "Milliseconds after which a second attempt starts.", unit="ms"),
    Variable("PORT", "server.listen", "Port to listen on; the host stays. Not for a Unix socket.", PORT),
    Variable("LOG_LEVEL", "log.level", "debug, info, warning (or warn) or error."),
    Variable("CACHE_ENABLED", "chain.cache", "true adds the cache stage after auth and limits, false removes it.", SWITCH),
    Variable("CACHE_TTL", "chain.cache.ttl", "Seconds, or a duration such as 5m, if there is a cache stage."),
    Variable("CACHE_TTL_SECONDS", "chain.cache.ttl", "The same under another name."),
    Variable("CACHE_MAX_ITEMS", "chain.cache.max_entries", "Entries kept, if there is a cache stage."),
    Variable("CACHE_MAX_ENTRIES", "chain.cache.max_entries", "The same under another name."),
    Variable("ADMIN_API_KEY", "admin.keys", "Adds a key of the admin API, of the name `env` and with the role admin.", ADMIN),
    Variable("EDGEGATE_ADMIN_KEY", "admin.keys", "The same under another name; counts if both are set.", ADMIN),
)

OTHERS = (
    Variable("EDGEGATE_CONFIG", "", "Path of the configuration file."),
    Variable("EDGEGATE_SECTION__KEY", "", "Any option: its key path in capitals, joined by two underscores. Lists take commas or YAML."),
)
