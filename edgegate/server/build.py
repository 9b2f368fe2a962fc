"""From the configuration to live objects: dialects by name, the catalogue, the stages in order."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from edgegate.access.configured import configured_secrets
from edgegate.access.keys import KeyRing
from edgegate.chain import Stage
from edgegate.config.address import parse_address
from edgegate.config.discover import address_of, vendor_defaults
from edgegate.config.model import Config, KeyOptions, ProviderOptions
from edgegate.config.stages import AuthOptions, FailoverOptions, IdempotencyOptions, TranslateOptions
from edgegate.dialects.anthropic.provider import AnthropicProvider
from edgegate.dialects.azure.provider import AzureProvider
from edgegate.dialects.base import ProviderSide
from edgegate.dialects.bedrock.provider import BedrockProvider
from edgegate.dialects.cohere.provider import CohereProvider
from edgegate.dialects.compat import COMPAT
from edgegate.dialects.gemini.provider import GeminiProvider
from edgegate.dialects.gemini.vertex import VertexProvider
from edgegate.dialects.http import HttpProvider
from edgegate.dialects.mistral.provider import MistralProvider
from edgegate.dialects.ollama.provider import OllamaProvider
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.dialects.openai.quirks import OPENAI, USUAL
from edgegate.dialects.responses.provider import ResponsesProvider
from edgegate.observe.metrics import Metrics
from edgegate.resilience.board import Board, Listener
from edgegate.routing.catalog import Balanced, Catalog, Provider
from edgegate.stages.auth import Auth
from edgegate.stages.budget import Budget
from edgegate.stages.cache import Cache
from edgegate.stages.coalesce import Coalesce
from edgegate.stages.failover import Failover
from edgegate.stages.forward import Forward
from edgegate.stages.hedge import Hedges
from edgegate.stages.idempotency import Idempotency
from edgegate.stages.limits import Limits
from edgegate.stages.meter import Meter
from edgegate.stages.queue import Queue
from edgegate.stages.route import Route
from edgegate.stages.translate import Translate
from edgegate.stores.sqlite import SqliteStore
from edgegate.upstream.aws import AwsCredential
from edgegate.upstream.bearer import CommandToken, FileToken
from edgegate.upstream.credential import Credential
from edgegate.upstream.deadlines import Deadlines

OPENAI_HOST = "api.openai.com"

if TYPE_CHECKING:
    from edgegate.server.accounting import Accounting
    from edgegate.stages.tokens_jwt import Tokens

Sides = Mapping[str, tuple[ProviderSide, ProviderOptions]]


def build_sides(config: Config) -> dict[str, tuple[ProviderSide, ProviderOptions]]:
    """Each provider's dialect, and its options with the vendor's address and prefixes filled in. Raises `ValueError`."""
    sides: dict[str, tuple[ProviderSide, ProviderOptions]] = {}
    translate = next((stage.options for stage in config.chain if stage.name == "translate"), TranslateOptions())
    for name, options in config.providers.items():
        dialect = options.dialect or name
        vendor = vendor_defaults(dialect)
        if vendor is not None:
            base_url = options.base_url or vendor.base_url or address_of(vendor, options)
            options = replace(options, base_url=base_url, prefixes=options.prefixes or vendor.prefixes)
        sides[name] = (provider_side(dialect, options, translate), options)
    return sides


def provider_side(dialect: str, options: ProviderOptions, translate: TranslateOptions) -> ProviderSide:
    """The provider side of a dialect. Raises `ValueError` for a name that is none."""
    match dialect:
        case "anthropic":
            return AnthropicProvider(default_max_tokens=translate.default_max_tokens)
        case "azure":
            return AzureProvider(options.api_version)
        case "bedrock":
            return BedrockProvider()
        case "cohere":
            return CohereProvider()
        case "gemini":
            return GeminiProvider()
        case "vertex":
            return VertexProvider(options.project, options.location or "global")
        case "mistral":
            return MistralProvider()
        case "ollama":
            return OllamaProvider()
        case "openai":
            return _openai(options)
        case "openai-responses":
            return ResponsesProvider()
        case "http":
            return HttpProvider()
    row = COMPAT.get(dialect)
    if row is None:
        raise ValueError(f"unknown dialect {dialect!r}")
    return row.provider()


def _openai(options: ProviderOptions) -> ProviderSide:
    """OpenAI itself, or one of the many servers that are configured as it: few of these have the Responses API."""
    native = options.responses == "native" or (options.responses == "auto" and urlsplit(options.base_url).hostname == OPENAI_HOST)
    return OpenAIProvider("openai", OPENAI if native else replace(OPENAI, paths=USUAL))


def build_catalog(config: Config, sides: Sides, simulated: frozenset[str]) -> Catalog:
    """The models of all providers."""
    providers = [
        Provider(
            name,
            side,
            options.base_url,
            options.models,
            options.prefixes,
            name in simulated,
            options.deployments,
            options.loss,
            options.relay,
            keys=len(options.api_keys) or 1,
            balance=options.balance,
            max_in_flight=options.max_in_flight,
            prefill=options.prefill,
        )
        for name, (side, options) in sides.items()
    ]
    models = config.models
    return Catalog(
        providers,
        models.aliases,
        models.fallbacks,
        models.default_provider or _only_candidate(providers),
        balanced={name: Balanced(options.strategy, options.targets) for name, options in models.balance.items()},
        larger=models.larger_context,
    )


def _only_candidate(providers: Sequence[Provider]) -> str:
    """Where unknown names go without being told: to the only provider, or to the only one that declares neither models nor
    prefixes, as Ollama or Groq beside OpenAI. Anything less clear is for the operator to decide."""
    unmarked = [p.name for p in providers if not p.models and not p.prefixes and not p.deployments]
    if len(providers) == 1:
        return providers[0].name
    return unmarked[0] if len(unmarked) == 1 else ""


def build_keys(options: Sequence[KeyOptions], required: bool = False) -> KeyRing:
    """The key ring. Secrets are hashed here and not kept. `required`: callers need a key even while there is none."""
    return KeyRing(configured_secrets(options), required)


def needs_keys(config: Config, options: AuthOptions) -> bool:
    """Whether callers need a key even before the first is made: on a network, where keys are made at run time."""
    stored = bool(config.store.file or config.store.postgres)
    return stored and not options.anonymous and not parse_address(config.server.listen).loopback


def build_tokens(options: AuthOptions) -> Tokens | None:
    """Callers by JSON Web Token, where they are accepted."""
    if options.jwt is None:
        return None
    from edgegate.stages.tokens_jwt import Tokens
    from edgegate.upstream.jwks import KeySet
    from edgegate.upstream.side import Side

    log = structlog.get_logger("auth")
    keys = KeySet(options.jwt, Side(), lambda reason: log.warning("issuer_unavailable", reason=reason))
    return Tokens(options.jwt, keys, time.time)


def build_credentials(sides: Sides, clock: Callable[[], float], environ: Mapping[str, str]) -> dict[str, Credential]:
    """The credentials of the providers for which a fixed header line is not enough."""
    found: dict[str, Credential] = {}
    for name, (side, options) in sides.items():
        if options.token_file:
            found[name] = FileToken(options.token_file, clock)
        elif options.token_command:
            found[name] = CommandToken(options.token_command, options.token_lifetime, clock)
        elif side.name == "bedrock" and not options.api_key and not options.api_keys:
            found[name] = AwsCredential(environ, time.time, region=options.region, profile=options.profile)
    return found


def build_board(config: Config, listener: Listener) -> Board:
    """What is known of the targets, by the options of the failover stage."""
    options = next((stage.options for stage in config.chain if stage.name == "failover"), FailoverOptions())
    return Board(options, listener)


def _idempotency_file(options: IdempotencyOptions, share: Path | None) -> str:
    """Where kept answers lie: as configured, where all workers find it, or nowhere (memory)."""
    return options.file or (str(share / "idempotency.sqlite") if share is not None else "")


def build_stages(
    config: Config,
    catalog: Catalog,
    sides: Sides,
    deadlines: Deadlines,
    metrics: Metrics,
    board: Board,
    clock: Callable[[], float],
    accounting: Accounting,
    share: Path | None = None,
) -> list[Stage]:
    """The stages of the chain, in the configured order. `share` is the directory of all workers, if there are several."""
    server = config.server
    prices, rules, limiter = accounting.prices, accounting.rules, accounting.limiter

    def stage(name: str, options: Any) -> Stage:
        match name:
            case "auth":
                return Auth(options, accounting.keys, server.trusted_proxies, build_tokens(options))
            case "limits":
                return Limits(options, rules, limiter, accounting.estimates, metrics, time.time)
            case "cache":
                return Cache(options, clock)
            case "idempotency":
                return Idempotency(options, SqliteStore(_idempotency_file(options, share), options.ttl, options.max_bytes))
            case "coalesce":
                return Coalesce(options)
            case "route":
                return Route(catalog)
            case "queue":
                return Queue(options, deadlines, metrics, clock)
            case "failover":
                return Failover(options, board, metrics, Hedges(options.hedge, prices) if options.hedge is not None else None)
            case "budget":
                return Budget(options, rules, limiter, prices, accounting.estimates, metrics, time.time, weigh=accounting.keeps)
            case "translate":
                return Translate(options, accounting.estimator)
            case "forward":
                credentials = build_credentials(sides, clock, os.environ)
                return Forward(
                    options,
                    sides,
                    credentials,
                    deadlines,
                    server.body_timeout,
                    server.max_body,
                    accounting.ledger if accounting.keeps else None,
                )
            case "meter":
                return Meter(prices, metrics)
        raise ValueError(f"unknown stage {name!r}")

    return [stage(entry.name, entry.options) for entry in config.chain]
