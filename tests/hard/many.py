"""A gateway with a provider of every dialect the tests of the client dialects need, all of them the one that misbehaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from edgegate.config.model import Config, ModelOptions, ProviderOptions
from edgegate.config.option import Duration, Secret, Size
from edgegate.config.stages import FailoverOptions
from tests.hard.live import NO_BREAKER, Live, chain, config, quick_forward, quick_server
from tests.hard.misbehaving import Provider
from tests.hard.vendors import VENDORS

KEYS = {name: f"{name}-key-{at}f3c9a7d51e" for at, name in enumerate(VENDORS)}
MAX_BODY = Size(4 << 20)
LONG = Duration(6)
"""The time limits that no test should run into: what ends, ends for another reason."""


def many(port: int, **more: Any) -> Config:
    """openai, anthropic, gemini, bedrock, ollama and cohere with one model each; `picky` and `lossy`, which are Anthropic with
    `loss: reject` and `loss: drop`. No provider takes what nobody declares: unknown names are 404."""
    here = f"http://127.0.0.1:{port}"

    def provider(name: str, dialect: str, **options: Any) -> ProviderOptions:
        basis: dict[str, Any] = {
            "dialect": dialect,
            "base_url": f"{here}/v1" if dialect == "openai" else here,
            "api_key": Secret(KEYS.get(dialect, "")),
            "prefixes": ("none-such-",),
        }
        return ProviderOptions(**(basis | options))

    providers = {name: provider(name, name, models=(vendor.model,)) for name, vendor in VENDORS.items()}
    providers["openai"] = replace(providers["openai"], models=("gpt-4o", "models/a/b", "a:b"))
    providers["ollama"] = provider("ollama", "ollama", models=("llama3.2",))
    providers["cohere"] = provider("cohere", "cohere", models=("command-a",))
    providers["picky"] = provider("picky", "anthropic", models=("picky-1",), loss="reject")
    providers["lossy"] = provider("lossy", "anthropic", models=("lossy-1",), loss="drop")
    forward = quick_forward(first_token=LONG, idle=LONG, total=LONG)
    basis = replace(
        config(port, port),
        providers=providers,
        models=ModelOptions(),
        server=quick_server(body_timeout=LONG, head_timeout=LONG, max_body=MAX_BODY),
        chain=chain(forward, FailoverOptions(attempts=1, retries=0, breaker=NO_BREAKER)),
    )
    return replace(basis, **more)


@contextmanager
def served(live: Live, provider: Provider) -> Iterator[Live]:
    """One test's use of a gateway that lives longer: at its end nothing is left running and the loop had nothing to complain of."""
    live.loop.faults.clear()
    live.forget_log()
    yield live
    try:
        live.wait(lambda: live.in_flight() == 0, f"exchanges to end; {live.in_flight()} are left", 8)
        provider.clear()
        live.wait(lambda: live.pooled() == 0, "connections to notice that the provider has closed them", 3)
        assert not live.faults()
    finally:
        live.drop_upstream_connections()
