"""The pieces of the end-to-end tests: the simulator, servers in the background, the gateway as a process, and SDK clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest

from edgegate.simulate import Running, start
from tests.e2e.background import Background
from tests.e2e.gateway import Gateway

StartGateway = Callable[..., Gateway]


@pytest.fixture(scope="session")
def background() -> Iterator[Background]:
    with Background() as background:
        yield background


@pytest.fixture(scope="session")
def simulator(background: Background) -> Iterator[Running]:
    running = background.run(start())
    yield running
    background.run(running.stop())


@pytest.fixture(scope="session")
def start_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGateway]:
    """Starts gateways that live until the end of the session, when each must end with status 0 after SIGTERM."""
    started: list[Gateway] = []

    def begin(config: dict[str, Any], env: dict[str, str] | None = None) -> Gateway:
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), config, env)
        gateway.start()
        started.append(gateway)
        return gateway

    yield begin
    for gateway in started:
        code = gateway.stop()
        assert code == 0, f"exit code {code} after SIGTERM:\n{gateway.said()}"


def simulated_providers(url: str) -> dict[str, Any]:
    """A provider of each dialect at the simulator's address."""
    return {
        "openai": {"base_url": f"{url}/v1", "api_key": "sk-provider-openai", "models": ["gpt-4o", "text-embedding-3-small"]},
        "anthropic": {"base_url": url, "api_key": "sk-provider-anthropic", "models": ["claude-haiku-4-5"]},
        "gemini": {"base_url": url, "api_key": "provider-gemini", "models": ["gemini-2.5-flash"]},
        "ollama": {"base_url": url, "models": ["llama3.2"]},
    }


@pytest.fixture(scope="session")
def gateway(start_gateway: StartGateway, simulator: Running) -> Gateway:
    """A gateway before the simulator, without retries, so that errors show at once."""
    chain = ["auth", "route", {"failover": {"attempts": 1, "retries": 0, "breaker": {"failures": 0}}}, "translate", "forward", "meter"]
    return start_gateway({"providers": simulated_providers(simulator.url), "chain": chain})


@pytest.fixture(scope="session")
def gpt(gateway: Gateway) -> Iterator[openai.OpenAI]:
    """The openai SDK at the gateway."""
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key="unused", max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def claude(gateway: Gateway) -> Iterator[anthropic.Anthropic]:
    """The anthropic SDK at the gateway."""
    with anthropic.Anthropic(base_url=gateway.url, api_key="unused", max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def every(start_gateway: StartGateway, simulator: Running) -> Gateway:
    """A gateway with every provider of the matrix under its name, which logs what it does; without retries."""
    from tests.e2e.matrix.pairs import AWS, PROVIDERS  # imports every SDK, which most tests here do without

    chain = ["auth", "route", {"failover": {"attempts": 1, "retries": 0, "breaker": {"failures": 0}}}, "translate", "forward", "meter"]
    providers = {name: {"dialect": name} | case.options(simulator.url) for name, case in PROVIDERS.items()}
    return start_gateway({"providers": providers, "chain": chain}, AWS)
