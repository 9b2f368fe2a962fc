"""auth in a gateway that serves: tokens of an issuer, callers behind a proxy, and refusals in the words of each dialect."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.unit.access.issuer import jwk, rsa_key, token
from tests.unit.core.parts import CHAIN, Provider, live, providers, reply

SECRET = "gw-secret-0123456789"
MESSAGE = {"model": "gpt-4o", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def with_auth(**options: Any) -> list[Any]:
    return [{"auth": options}, *[stage for stage in CHAIN if stage != "auth" and not (isinstance(stage, dict) and "auth" in stage)]]


async def test_a_token_is_a_key_to_the_gateway(tmp_path: Path) -> None:
    key = rsa_key()
    keys = reply(json.dumps({"keys": [jwk(key, "one")]}).encode())
    async with Provider() as provider, Provider(keys) as issuer:
        config = {
            "providers": providers(provider.url),
            "chain": with_auth(jwt={"jwks": f"{issuer.url}/keys", "issuer": "https://issuer.example", "audience": ["edgegate"]}),
        }
        async with live(config, tmp_path) as gateway:
            now = time.time()
            right = token(key, iat=now, nbf=now, exp=now + 60)
            for _ in range(2):
                status, _body, _ = await gateway.post(headers={"Authorization": f"Bearer {right}"})
                assert status == 200
            late = token(key, iat=now, nbf=now, exp=now - 60)
            status, body, headers = await gateway.post(headers={"Authorization": f"Bearer {late}"})
            assert (status, json.loads(body)["error"]["code"], headers["www-authenticate"]) == (401, "token_expired", "Bearer")
            status, body, _ = await gateway.post("/v1/messages", MESSAGE, {"x-api-key": "no-token", "anthropic-version": "2023-06-01"})
            assert (status, json.loads(body)["error"]["type"]) == (401, "authentication_error")
            assert not gateway.faults()
            assert right not in gateway.log.getvalue().decode()
        assert len(issuer.seen) == 1
        assert not any("authorization" in name for name, _ in issuer.seen[0].headers)
        assert [seen.header("authorization") for seen in provider.seen] == ["Bearer provider-secret-one"] * 2


async def test_an_issuer_that_is_away_is_no_reason_for_a_401_and_does_not_keep_the_gateway_from_starting(tmp_path: Path) -> None:
    async with Provider() as provider, Provider(b"") as issuer:
        config = {"providers": providers(provider.url), "chain": with_auth(jwt={"jwks": f"{issuer.url}/keys", "audience": ["edgegate"]})}
        async with live(config, tmp_path) as gateway:
            status, body, headers = await gateway.post(headers={"Authorization": f"Bearer {token(rsa_key())}"})
            assert (status, json.loads(body)["error"]["code"]) == (503, "issuer_unavailable")
            assert headers["x-edgegate-error-source"] == "gateway"
            assert int(headers["retry-after"]) >= 1
            assert [line["reason"] for line in gateway.lines("issuer_unavailable")] != []


async def test_a_key_of_a_network_and_an_endpoint_behind_a_proxy(tmp_path: Path) -> None:
    async with Provider() as provider:
        config = {
            "providers": providers(provider.url),
            "keys": [{"name": "app", "key": SECRET, "networks": ["192.0.2.0/24"], "endpoints": ["chat"]}],
        }
        behind = {"server": {"listen": "127.0.0.1:0", "trusted_proxies": ["127.0.0.0/8"]}}
        async with live(config | behind, tmp_path) as gateway:
            known = {"x-api-key": SECRET, "X-Forwarded-For": "6.6.6.6, 192.0.2.7"}
            status, _, _ = await gateway.post(headers=known)
            assert status == 200
            status, body, _ = await gateway.post(headers=known | {"X-Forwarded-For": "192.0.2.7, 6.6.6.6"})
            assert (status, json.loads(body)["error"]["code"]) == (403, "network_not_allowed")
            status, body, _ = await gateway.post("/v1/messages", MESSAGE, known | {"X-Forwarded-For": "6.6.6.6"})
            assert (status, json.loads(body)["error"]["type"]) == (403, "permission_error")
            status, body, _ = await gateway.get("/v1/models", known)
            assert (status, json.loads(body)["error"]["code"]) == (403, "endpoint_not_allowed")
            status, body, _ = await gateway.get("/api/events", known)
            assert status == 403
        assert len(provider.seen) == 1
