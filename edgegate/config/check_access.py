"""What must hold of keys, tokens, limits and budgets: dates and networks parse, something is limited, and a stage sees to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from edgegate.access.address import networks_of
from edgegate.access.configured import moment, unnamed
from edgegate.access.counters import matches
from edgegate.config.model import BudgetOptions, Config, KeyOptions, LimitOptions
from edgegate.config.problems import did_you_mean, shown
from edgegate.config.stages import AuthOptions, JwtOptions
from edgegate.dialects.base import Operation

Finding = tuple[str, str]

MOST_USD = 4_000_000
MOST_TOKENS = 4_000_000_000_000_000
"""What every store can count exactly: Redis counts in floating point, and money in nano-dollars."""

OPERATIONS = tuple(operation.value for operation in Operation)
_PATH = re.compile(r"/[!-)+-~]*\*?", re.ASCII)  # no space, and `*` at the end only


def check_access(config: Config) -> Iterator[Finding]:
    for index, key in enumerate(config.keys):
        yield from _key(f"keys[{index}]", key)
    yield from _names(config)
    for index, limit in enumerate(config.limits):
        yield from _limit(f"limits[{index}]", limit, config)
    for index, budget in enumerate(config.budgets):
        yield from _budget(f"budgets[{index}]", budget, config)
    yield from _stages(config)
    for index, stage in enumerate(config.chain):
        if isinstance(stage.options, AuthOptions) and stage.options.jwt is not None:
            yield from _jwt(f"chain[{index}].auth.jwt", stage.options.jwt)


def _key(path: str, options: KeyOptions) -> Iterator[Finding]:
    if options.expires:
        try:
            moment(options.expires)
        except ValueError as error:
            yield f"{path}.expires", f"expected {error}, got {shown(options.expires)}"
    for name in ("usd_per_day", "usd_per_month"):
        if getattr(options, name) > MOST_USD:
            yield f"{path}.{name}", f"expected at most {MOST_USD:,} US dollars"
    for at, network in enumerate(options.networks):
        try:
            networks_of([network])
        except ValueError:
            yield f"{path}.networks[{at}]", f"expected a network such as 10.0.0.0/8 or ::1, got {shown(network)}"
    for at, endpoint in enumerate(options.endpoints):
        if endpoint in OPERATIONS or endpoint == "*" or _PATH.fullmatch(endpoint):
            continue
        if endpoint.startswith("/"):
            yield f"{path}.endpoints[{at}]", f"expected a path, with `*` at its end or without, got {shown(endpoint)}"
        else:
            near = did_you_mean(endpoint, OPERATIONS)
            yield f"{path}.endpoints[{at}]", f"expected a path such as /v1/chat/completions, or an operation, got {shown(endpoint)}{near}"


def _names(config: Config) -> Iterator[Finding]:
    """A name that is given against one that a key without a name gets. (Two that are given: see `check`.)"""
    given = {options.name: index for index, options in enumerate(config.keys) if options.name}
    for index, options in enumerate(config.keys):
        name = unnamed(index + 1)
        if not options.name and name in given:
            yield f"keys[{given[name]}].name", f"keys[{index}] has no name and is called {name} itself; choose another one"


def _limit(path: str, options: LimitOptions, config: Config) -> Iterator[Finding]:
    if not (options.requests or options.tokens or options.concurrency):
        yield path, "nothing is limited: expected `requests`, `tokens` or `concurrency`"
    if options.burst and options.algorithm != "token_bucket":
        yield f"{path}.burst", "only `algorithm: token_bucket` has a burst"
    elif options.burst and not (options.requests or options.tokens):
        yield f"{path}.burst", "a burst needs `requests` or `tokens`"
    yield from _providers(path, options.providers, config)


def _budget(path: str, options: BudgetOptions, config: Config) -> Iterator[Finding]:
    if not (options.usd or options.tokens):
        yield path, "nothing is limited: expected `usd` or `tokens`"
    if "ip" in options.per:
        yield f"{path}.per", "a budget has no `ip`: the ledger, which it is counted by, knows no addresses"
    if options.usd > MOST_USD or options.tokens > MOST_TOKENS:
        yield path, f"expected at most {MOST_USD:,} US dollars and {MOST_TOKENS:,} tokens"
    for at, share in enumerate(options.alerts):
        if not 0 < share <= 1:
            yield f"{path}.alerts[{at}]", f"expected a share above 0 and up to 1, such as 0.8, got {share:g}"
    yield from _providers(path, options.providers, config)


def _providers(path: str, patterns: tuple[str, ...], config: Config) -> Iterator[Finding]:
    for at, pattern in enumerate(patterns):
        if not any(matches((pattern,), name) for name in config.providers):
            yield f"{path}.providers[{at}]", f"no provider {shown(pattern)} is configured{did_you_mean(pattern, config.providers)}"


def _stages(config: Config) -> Iterator[Finding]:
    """Rules that no stage would see to. Those on models and providers are about attempts, and so are budgets."""
    present = {stage.name for stage in config.chain}
    for index, limit in enumerate(config.limits):
        stage = "budget" if limit.models or limit.providers or {"model", "provider"} & {*limit.per} else "limits"
        if stage not in present:
            yield f"limits[{index}]", f"nothing sees to this limit: put `{stage}` into the chain"
    if config.budgets and "budget" not in present:
        yield "budgets", "nothing sees to budgets: put `budget` into the chain, behind `failover`"
    for index, key in enumerate(config.keys):
        if "limits" not in present and (key.requests or key.tokens or key.concurrency):
            yield f"keys[{index}]", "nothing sees to what this key is limited to: put `limits` into the chain, behind `auth`"
        if "budget" not in present and (key.usd_per_day or key.usd_per_month or key.tokens_per_day or key.tokens_per_month):
            yield f"keys[{index}]", "nothing sees to this key's budget: put `budget` into the chain, behind `failover`"


def _jwt(path: str, options: JwtOptions) -> Iterator[Finding]:
    from edgegate.access.jwt import ALGORITHMS, is_safe_url  # only where tokens are accepted

    if not options.jwks and not options.issuer:
        yield path, "expected `jwks` or `issuer`, which say where the keys are"
    if "://" in options.jwks:
        if not is_safe_url(options.jwks):
            yield f"{path}.jwks", "expected an https URL without a name and password (http only on this machine)"
    elif options.jwks and not Path(options.jwks).is_file():
        yield f"{path}.jwks", f"expected an https URL or a file; there is no file {shown(options.jwks)}"
    elif not options.jwks and options.issuer and not is_safe_url(options.issuer):
        yield f"{path}.issuer", "without `jwks` the keys are looked for here: expected an https URL (http only on this machine)"
    if not any(options.audience):
        yield f"{path}.audience", "expected the audience that tokens for this gateway have: without it tokens for others would do"
    if not options.algorithms:
        yield f"{path}.algorithms", f"expected at least one; known are {', '.join(ALGORITHMS)}"
    for at, algorithm in enumerate(options.algorithms):
        if algorithm not in ALGORITHMS:
            secret = algorithm.upper().startswith("HS")
            why = "algorithms with a shared secret are not accepted" if secret else f"no algorithm {shown(algorithm)}"
            yield f"{path}.algorithms[{at}]", f"{why}{did_you_mean(algorithm, ALGORITHMS)}"
    if not options.user_claim and not options.name_claim:
        yield f"{path}.user_claim", "expected `user_claim` or `name_claim`: without them nobody knows whose a token is"
