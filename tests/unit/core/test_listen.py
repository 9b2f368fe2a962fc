"""Sockets: TCP of both families, Unix, TLS, and addresses that cannot be had."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import trustme

from edgegate.config.address import Address, parse_address
from edgegate.config.model import TlsOptions
from edgegate.server.listen import open_sockets, tls_context
from tests.e2e.gateway import PROJECT, Gateway, free_port
from tests.unit.core.parts import Provider, live, providers

NOWHERE = {"providers": providers("http://127.0.0.1:9")}


def ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not ipv6(), reason="no IPv6 on this machine")


def closing(sockets: list[socket.socket]) -> list[socket.socket]:
    for sock in sockets:
        sock.close()
    return sockets


def test_a_port_in_use_is_an_os_error_and_leaves_no_socket_open() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(OSError):
            open_sockets(Address(host="127.0.0.1", port=taken.getsockname()[1]), shared=False)
        assert len(os.listdir("/proc/self/fd")) == before


def test_two_workers_may_share_a_port_and_others_may_not() -> None:
    port = free_port()
    first = open_sockets(Address(host="127.0.0.1", port=port), shared=True)
    second = open_sockets(Address(host="127.0.0.1", port=port), shared=True)
    with pytest.raises(OSError):
        open_sockets(Address(host="127.0.0.1", port=port), shared=False)
    closing(first + second)


def test_no_host_means_all_interfaces_of_both_families() -> None:
    families = {sock.family for sock in closing(open_sockets(parse_address(f":{free_port()}"), shared=False))}
    assert families == ({socket.AF_INET, socket.AF_INET6} if ipv6() else {socket.AF_INET})


def test_a_unix_socket_is_for_user_and_group_only_and_a_stale_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    for _ in range(2):
        (sock,) = open_sockets(Address(path=str(path)), shared=False)
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
        sock.close()


def test_a_unix_socket_in_use_or_a_file_in_its_place_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (sock,) = open_sockets(Address(path=str(path)), shared=False)
    with pytest.raises(OSError, match="in use"):
        open_sockets(Address(path=str(path)), shared=False)
    sock.close()
    file = tmp_path / "f"
    file.write_text("precious")
    with pytest.raises(OSError, match="not a socket"):
        open_sockets(Address(path=str(file)), shared=False)
    assert file.read_text() == "precious"


def test_a_certificate_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("nothing")
    with pytest.raises((OSError, ssl.SSLError)):
        tls_context(TlsOptions(str(tmp_path / "x.pem"), str(tmp_path / "x.pem")))


# -- as a process


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    directory = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    certificate = ca.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(str(directory / "key.pem"))
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(directory / "cert.pem"), append=True)
    ca.cert_pem.write_to_path(str(directory / "ca.pem"))
    return ca, directory


def started(directory: Path, config: dict[str, Any]) -> tuple[subprocess.Popen[bytes], Path]:
    """A gateway process with this configuration, whatever becomes of it."""
    gateway = Gateway(directory, config)
    err = directory / "stderr"
    with err.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "edgegate", "run", "--config", str(gateway.file)],
            stdout=subprocess.DEVNULL,
            stderr=said,
            cwd=PROJECT,
            env=gateway._env,
        )
    return process, err


def ready(client: httpx.Client, url: str) -> dict[str, Any]:
    until = time.monotonic() + 15
    while time.monotonic() < until:
        try:
            reply = client.get(url)
            if reply.status_code == 200:
                body: dict[str, Any] = reply.json()
                return body
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("not ready")


def stop(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    try:
        return process.wait(10)
    finally:
        if process.poll() is None:
            process.kill()


def test_it_serves_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "gw.sock"
    process, _ = started(tmp_path, NOWHERE | {"server": {"listen": f"unix:{path}"}})
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert ready(client, "http://gateway/ready")["ready"]
    finally:
        assert stop(process) == 0


@needs_ipv6
def test_it_serves_on_ipv6(tmp_path: Path) -> None:
    port = free_port()
    process, err = started(tmp_path, NOWHERE | {"server": {"listen": f"[::1]:{port}"}})
    try:
        with httpx.Client(trust_env=False) as client:
            assert ready(client, f"http://[::1]:{port}/ready")["ready"]
        assert f"http://[::1]:{port}" in err.read_text()
    finally:
        assert stop(process) == 0


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_it_serves_tls_and_refuses_old_versions(tmp_path: Path, authority: tuple[trustme.CA, Path]) -> None:
    ca, files = authority
    port = free_port()
    tls = {"cert": str(files / "cert.pem"), "key": str(files / "key.pem")}
    process, _ = started(tmp_path, NOWHERE | {"server": {"listen": f"127.0.0.1:{port}", "tls": tls}})
    context = ssl.create_default_context()
    ca.configure_trust(context)
    try:
        with httpx.Client(verify=context, trust_env=False) as client:
            assert ready(client, f"https://127.0.0.1:{port}/ready")["ready"]
            assert client.post(f"https://127.0.0.1:{port}/v1/chat/completions", content=b"{").status_code == 400
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", port)) as raw, pytest.raises((ssl.SSLError, OSError)):
            old.wrap_socket(raw)
    finally:
        assert stop(process) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_an_address_in_use_is_said_in_a_sentence(tmp_path: Path, workers: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process, err = started(tmp_path, NOWHERE | {"server": {"listen": f"127.0.0.1:{port}", "workers": workers}})
        try:
            code = process.wait(6)
        except subprocess.TimeoutExpired:
            stop(process)
            pytest.fail(f"it still tried after 6 s:\n{err.read_text()[-1500:]}")
    said = err.read_text()
    assert code == 1
    assert "Traceback" not in said
    assert f"127.0.0.1:{port}" in said
    assert "in use" in said.lower()


@pytest.mark.parametrize("what", ["log", "certificate"])
def test_a_file_that_cannot_be_used_is_said_in_a_sentence(tmp_path: Path, what: str) -> None:
    bad = tmp_path / "missing" / "log"
    (tmp_path / "no.pem").write_text("nothing")
    tls = {"cert": str(tmp_path / "no.pem"), "key": str(tmp_path / "no.pem")}
    config = {"log": {"file": str(bad)}} if what == "log" else {"server": {"tls": tls}}
    process, err = started(tmp_path, NOWHERE | config)
    try:
        code = process.wait(6)
    finally:
        stop(process)
    assert (code, "Traceback" in err.read_text()) == (1, False)


# -- TLS to a provider


async def test_a_providers_certificate_is_checked(tmp_path: Path, authority: tuple[trustme.CA, Path]) -> None:
    _, files = authority
    context = tls_context(TlsOptions(str(files / "cert.pem"), str(files / "key.pem")))
    origin = Provider()
    server = await asyncio.start_server(origin._serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]

    def config(host: str, **more: Any) -> dict[str, Any]:
        return {"providers": {"one": {"dialect": "openai", "base_url": f"https://{host}:{port}/v1", "models": ["gpt-4o"], **more}}}

    try:
        async with live(config("localhost", ca_file=str(files / "ca.pem")), tmp_path) as gateway:
            assert (await gateway.post())[0] == 200
        async with live(config("localhost"), tmp_path) as gateway:
            status, body, _ = await gateway.post()
            assert (status, b"upstream_tls" in body or b"certificate" in body.lower()) == (502, True)
    finally:
        server.close()
        for task in list(origin._tasks):
            task.cancel()
    assert len(origin.seen) == 1


async def test_two_gateways_may_serve_in_one_loop(tmp_path: Path) -> None:
    async with Provider() as origin:
        config = {"providers": providers(origin.url)}
        async with live(config, tmp_path) as one, live(config, tmp_path) as two:
            assert (await one.post())[0] == (await two.post())[0] == 200
            async with aiohttp.ClientSession() as http, http.get(one.url + "/metrics") as response:
                assert response.status == 200
