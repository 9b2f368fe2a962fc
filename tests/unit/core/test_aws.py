"""AWS credentials: every source of the chain for real (files, a process, a server on loopback), and when each is asked again."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from edgegate.dialects.clouds import bedrock_address
from edgegate.errors import GatewayError
from edgegate.upstream import aws_sources
from edgegate.upstream.aws import AwsCredential, region_of
from edgegate.upstream.credential import Credential
from edgegate.wire.sigv4 import Credentials, sign

NOW = 1_800_000_000.0
SECRETS = ("secret-a", "secret-b", "token-a", "token-b")


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(NOW + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def keys(name: str, lives_s: float | None = None, token: str = "Token", **more: Any) -> dict[str, Any]:
    value = {"AccessKeyId": f"AKIA{name.upper()}", "SecretAccessKey": f"secret-{name}", token: f"token-{name}", **more}
    return value if lives_s is None else {**value, "Expiration": stamp(lives_s)}


@dataclass
class Amazon:
    """The container's endpoint, the metadata service and STS, on loopback. `answers`: path -> (status, body)."""

    url: str = ""
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    seen: list[tuple[str, str, Mapping[str, str], str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append(
            (request.method, request.path, {name.lower(): value for name, value in request.headers.items()}, await request.text())
        )
        await asyncio.sleep(0.01)
        status, body = self.answers.get(request.path, (404, ""))
        return web.Response(status=status, text=body)


@asynccontextmanager
async def amazon() -> AsyncIterator[Amazon]:
    fake = Amazon()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", fake.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    try:
        yield fake
    finally:
        await runner.cleanup()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Nothing but a home, where no file is, and no metadata service."""
    return {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true"}


def write(environ: dict[str, str], credentials: str = "", config: str = "") -> None:
    folder = Path(environ["HOME"]) / ".aws"
    folder.mkdir(exist_ok=True)
    (folder / "credentials").write_text(credentials)
    (folder / "config").write_text(config)


def key_of(credential: AwsCredential) -> str:
    proof = dict(credential.lines("POST", "h", "/", [], b""))[b"authorization"].decode()
    return proof.partition("Credential=")[2].partition("/")[0]


async def found(environ: Mapping[str, str], **options: Any) -> str:
    credential = AwsCredential(environ, Clock(), **options)
    await credential.refresh()
    return key_of(credential)


async def refused(environ: Mapping[str, str], **options: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await AwsCredential(environ, Clock(), **options).refresh()
    assert caught.value.code == "credentials_unavailable"
    assert caught.value.source == "gateway"
    assert not any(secret in caught.value.message for secret in SECRETS)
    return caught.value


async def test_keys_of_the_environment_sign_what_is_sent(environ: dict[str, str]) -> None:
    environ |= {
        "AWS_ACCESS_KEY_ID": "AKIAENV",
        "AWS_SECRET_ACCESS_KEY": "secret-a",
        "AWS_SESSION_TOKEN": "token-a",
        "AWS_REGION": "eu-west-1",
    }
    credential: Credential = AwsCredential(environ, Clock())
    await credential.refresh()
    headers = [(b"content-type", b"application/json"), (b"traceparent", b"00-1"), (b"accept", b"*/*"), (b"x-amz-meta", b"a")]
    lines = credential.lines("POST", "h.example", "/model/a%3A1/converse", headers, b"{}")
    who = Credentials("AKIAENV", "secret-a", "token-a")
    assert lines == sign("POST", "h.example", "/model/a%3A1/converse", [headers[0], headers[3]], b"{}", who, "eu-west-1", "bedrock", NOW)
    assert not any(secret in repr(credential) for secret in SECRETS)
    assert "environment" in repr(credential)


async def test_signing_before_any_credentials_were_found_is_an_error(environ: dict[str, str]) -> None:
    with pytest.raises(GatewayError) as caught:
        AwsCredential(environ, Clock()).lines("POST", "h", "/", [], b"")
    assert (caught.value.status, caught.value.code) == (500, "credentials_unavailable")


async def test_the_shared_files_and_their_profiles(environ: dict[str, str]) -> None:
    write(
        environ,
        "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = secret-a\n"
        "[work]\naws_access_key_id=AKIAWORK\naws_secret_access_key=secret-b\naws_session_token = token-b\n",
        "[default]\nregion = eu-central-1\ns3 =\n  max_concurrent_requests = 20\n[profile other]\naws_access_key_id = AKIAOTHER\n"
        "aws_secret_access_key = a%b\nregion = us-west-2\n[profile work]\nregion = ap-south-1\n",
    )
    assert await found(environ) == "AKIADEFAULT"
    assert await found({**environ, "AWS_PROFILE": "work"}) == "AKIAWORK"
    assert await found(environ, profile="other") == "AKIAOTHER"
    assert AwsCredential(environ, Clock()).region == "eu-central-1"
    assert AwsCredential(environ, Clock(), profile="work").region == "ap-south-1"


async def test_a_profile_named_in_the_configuration_wins_over_keys_in_the_environment(environ: dict[str, str]) -> None:
    write(environ, "[work]\naws_access_key_id=AKIAWORK\naws_secret_access_key=secret-b\n")
    environ |= {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "secret-a", "AWS_PROFILE": "work"}
    assert await found(environ) == "AKIAENV"
    assert await found(environ, profile="work") == "AKIAWORK"


async def test_files_can_lie_elsewhere(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("[default]\naws_access_key_id = AKIAMOVED\naws_secret_access_key = secret-a\n")
    (tmp_path / "settings").write_text("[default]\nregion = sa-east-1\n")
    environ |= {"AWS_SHARED_CREDENTIALS_FILE": "~/keys", "AWS_CONFIG_FILE": str(tmp_path / "settings")}
    assert await found(environ) == "AKIAMOVED"
    assert AwsCredential(environ, Clock()).region == "sa-east-1"


async def test_a_changed_file_is_read_again(environ: dict[str, str]) -> None:
    write(environ, "[default]\naws_access_key_id = AKIAOLD\naws_secret_access_key = secret-a\n")
    clock = Clock()
    credential = AwsCredential(environ, clock)
    await credential.refresh()
    write(environ, "[default]\naws_access_key_id = AKIARENEWED\naws_secret_access_key = secret-b\n")
    await credential.refresh()
    assert key_of(credential) == "AKIAOLD"  # files are looked at every few seconds
    clock.now += 6
    await credential.refresh()
    assert key_of(credential) == "AKIARENEWED"


@pytest.mark.parametrize("text", ["[default\nsecret-a", "aws_secret_access_key = secret-a", "\xff\xfe"])
async def test_a_file_that_is_none_is_not_quoted(environ: dict[str, str], text: str) -> None:
    write(environ)
    (Path(environ["HOME"]) / ".aws" / "credentials").write_bytes(text.encode("latin-1"))
    assert (await refused(environ)).status == 500


async def test_profiles_that_sign_in_say_what_to_do_instead(environ: dict[str, str]) -> None:
    write(environ, config="[profile work]\nsso_session = corp\nregion = eu-west-1\n")
    error = await refused(environ, profile="work")
    assert error.status == 500
    assert "export-credentials --profile work" in error.message
    assert "'absent'" in (await refused({**environ, "AWS_PROFILE": "absent"})).message


def process(environ: dict[str, str], printed: str, status: int = 0) -> None:
    script = Path(environ["HOME"]) / "print keys.py"
    count = Path(environ["HOME"]) / "runs"
    script.write_text(
        f"import sys\nopen({str(count)!r}, 'a').write('x')\nprint({printed!r})\nsys.stderr.write('secret-a')\nsys.exit({status})\n"
    )
    write(environ, config=f'[default]\ncredential_process = {sys.executable} "{script}" --for "a b; exit"\n')


def runs(environ: dict[str, str]) -> int:
    return len((Path(environ["HOME"]) / "runs").read_text())


async def test_a_process_prints_keys_once_for_all_who_wait_and_again_before_they_end(environ: dict[str, str]) -> None:
    process(environ, json.dumps(keys("a", 3600, "SessionToken", Version=1)))
    clock = Clock()
    credential = AwsCredential(environ, clock)
    await asyncio.gather(*(credential.refresh() for _ in range(20)))
    assert (key_of(credential), runs(environ)) == ("AKIAA", 1)
    clock.now += 3600 - 301
    await credential.refresh()
    assert runs(environ) == 1
    clock.now += 2
    await credential.refresh()
    assert runs(environ) == 2


@pytest.mark.parametrize(
    ("printed", "status"),
    [("secret-a", 0), ("[]", 0), ('{"Version": 2, "SecretAccessKey": "secret-a"}', 0), ('{"Version": 1}', 0), ("{}", 3), ("", 0)],
)
async def test_a_process_that_prints_no_keys(environ: dict[str, str], printed: str, status: int) -> None:
    process(environ, printed, status)
    assert (await refused(environ)).status == 502


async def test_a_process_that_hangs_is_ended(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_sources, "PROCESS_S", 0.2)
    write(environ, config=f'[default]\ncredential_process = {sys.executable} -c "import time; time.sleep(60)"\n')
    assert "took longer" in (await refused(environ)).message


async def test_a_process_that_is_not_there(environ: dict[str, str]) -> None:
    write(environ, config="[default]\ncredential_process = /nowhere/keys\n")
    assert (await refused(environ)).status == 500
    write(environ, config='[default]\ncredential_process = "unclosed\n')
    assert (await refused(environ)).status == 500


async def test_keys_of_the_container(environ: dict[str, str], tmp_path: Path) -> None:
    async with amazon() as fake:
        fake.answers["/v2/keys"] = (200, json.dumps(keys("a", 3600)))
        environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = fake.url + "/v2/keys"
        environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "plain"
        assert await found(environ) == "AKIAA"
        (tmp_path / "token").write_text("mounted\n")
        environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(tmp_path / "token")
        assert await found(environ) == "AKIAA"
        assert [headers["authorization"] for _, _, headers, _ in fake.seen] == ["plain", "mounted"]
        fake.answers["/v2/keys"] = (500, "secret-a")
        assert (await refused(environ)).status == 502
        fake.answers["/v2/keys"] = (200, "secret-a")
        assert (await refused(environ)).status == 502


async def test_a_relative_address_is_the_containers_own(environ: dict[str, str]) -> None:
    asked = []

    async def fetch(method: str, url: str, headers: Mapping[str, str], body: bytes, deadline_s: float) -> tuple[int, bytes]:
        asked.append((method, url))
        return 200, json.dumps(keys("a", 3600)).encode()

    environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/credentials/1-2"
    assert await found(environ, fetch=fetch) == "AKIAA"
    assert asked == [("GET", "http://169.254.170.2/v2/credentials/1-2")]


async def test_the_containers_token_goes_to_no_other_host(environ: dict[str, str]) -> None:
    environ |= {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://elsewhere.example/", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "token-a"}
    assert (await refused(environ)).status == 500


STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIAWEB</AccessKeyId>
<SecretAccessKey>secret-b</SecretAccessKey><SessionToken>token-b&#43;/=</SessionToken><Expiration>{until}</Expiration>
</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


async def test_a_web_identity_is_exchanged_without_a_signature(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "jwt").write_text("ey.J.wt\n")
    async with amazon() as fake:
        fake.answers["/"] = (200, STS.format(until=stamp(3600)))
        environ |= {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "jwt"),
            "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
            "AWS_ENDPOINT_URL_STS": fake.url,
        }
        credential = AwsCredential(environ, Clock())
        await credential.refresh()
        lines = dict(credential.lines("POST", "h", "/", [], b""))
        assert key_of(credential) == "ASIAWEB"
        assert lines[b"x-amz-security-token"] == b"token-b+/="
        method, _, headers, body = fake.seen[0]
        assert method == "POST"
        assert "authorization" not in headers
        assert parse_qs(body) == {
            "Action": ["AssumeRoleWithWebIdentity"],
            "Version": ["2011-06-15"],
            "RoleArn": ["arn:aws:iam::1:role/r"],
            "RoleSessionName": ["edgegate"],
            "WebIdentityToken": ["ey.J.wt"],
        }
        fake.answers["/"] = (
            403,
            "<ErrorResponse><Error><Code>AccessDenied</Code><Message>ey.J.wt secret-a</Message></Error></ErrorResponse>",
        )
        error = await refused(environ)
        assert error.status == 502
        assert "AccessDenied" in error.message
        assert "ey.J.wt" not in error.message
    (tmp_path / "jwt").unlink()
    assert (await refused(environ)).status == 500


ROLE = "/latest/meta-data/iam/security-credentials/"


async def test_the_metadata_service_of_an_instance_is_asked_last(environ: dict[str, str]) -> None:
    async with amazon() as fake:
        fake.answers = {
            "/latest/api/token": (200, "imds"),
            ROLE: (200, "the-role\n"),
            ROLE + "the-role": (200, json.dumps(keys("a", 3600, Code="Success"))),
        }
        environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = fake.url
        assert (await refused(environ)).status == 500
        assert fake.seen == []  # it was forbidden
        environ["AWS_EC2_METADATA_DISABLED"] = "false"
        assert await found(environ) == "AKIAA"
        assert [(method, path) for method, path, _, _ in fake.seen] == [
            ("PUT", "/latest/api/token"),
            ("GET", ROLE),
            ("GET", ROLE + "the-role"),
        ]
        assert fake.seen[0][2]["x-aws-ec2-metadata-token-ttl-seconds"] == "21600"
        assert all(headers["x-aws-ec2-metadata-token"] == "imds" for _, _, headers, _ in fake.seen[1:])
        fake.answers[ROLE + "the-role"] = (200, json.dumps({"Code": "AssumeRoleUnauthorizedAccess"}))
        assert (await refused(environ)).status == 502
        fake.answers[ROLE] = (404, "")
        assert (await refused(environ)).status == 500


async def test_where_no_metadata_service_answers_there_are_no_credentials(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_sources, "METADATA_S", 0.2)
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with silent:
        environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        environ["AWS_EC2_METADATA_DISABLED"] = ""
        assert "no AWS credentials" in (await refused(environ)).message


class Renewing:
    """A container's endpoint whose keys live an hour. `fails`: what it does instead of answering."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.asked, self.fails, self.lives_s = clock, 0, False, 3600.0

    async def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes, deadline_s: float) -> tuple[int, bytes]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.fails:
            raise ConnectionRefusedError
        return 200, json.dumps(keys(f"n{self.asked}", self.clock.now - NOW + self.lives_s)).encode()


@pytest.fixture
def renewing(environ: dict[str, str]) -> tuple[Clock, Renewing, AwsCredential]:
    environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/keys"
    clock = Clock()
    source = Renewing(clock)
    return clock, source, AwsCredential(environ, clock, fetch=source)


async def test_a_failed_renewal_is_nobodys_problem_as_long_as_the_keys_hold(renewing: tuple[Clock, Renewing, AwsCredential]) -> None:
    clock, source, credential = renewing
    await credential.refresh()
    source.fails = True
    clock.now += 3600 - 299
    await credential.refresh()
    await credential.refresh()
    assert (key_of(credential), source.asked) == ("AKIAN1", 2)  # and it is not asked for every request
    clock.now += 6
    source.fails = False
    await credential.refresh()
    assert key_of(credential) == "AKIAN3"
    source.fails = True
    clock.now += 3601
    with pytest.raises(GatewayError) as caught:
        await credential.refresh()
    assert caught.value.status == 502


async def test_a_failure_is_not_repeated_for_every_request(renewing: tuple[Clock, Renewing, AwsCredential]) -> None:
    clock, source, credential = renewing
    source.fails = True
    for _ in range(3):
        with pytest.raises(GatewayError):
            await credential.refresh()
    assert source.asked == 1
    clock.now += 6
    source.fails = False
    await credential.refresh()
    assert source.asked == 2


async def test_keys_that_live_for_minutes_only_are_not_fetched_for_every_request(renewing: tuple[Clock, Renewing, AwsCredential]) -> None:
    clock, source, credential = renewing
    source.lives_s = 200
    for _ in range(3):
        await credential.refresh()
    assert source.asked == 1
    clock.now += 61
    await credential.refresh()
    assert source.asked == 2


async def test_a_caller_that_leaves_takes_nobody_elses_keys_along(renewing: tuple[Clock, Renewing, AwsCredential]) -> None:
    _, source, credential = renewing
    leaving = asyncio.ensure_future(credential.refresh())
    staying = asyncio.ensure_future(credential.refresh())
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert (key_of(credential), source.asked) == ("AKIAN1", 1)


@pytest.mark.parametrize("end", [stamp(-10), "yesterday"])
async def test_keys_that_have_run_out_are_none(environ: dict[str, str], end: str) -> None:
    process(environ, json.dumps(keys("a", None, "SessionToken", Version=1, Expiration=end)))
    assert (await refused(environ)).status == 502


def test_the_region_is_the_first_that_is_given() -> None:
    profile = {"region": "four"}
    environ = {"AWS_REGION": "two", "AWS_DEFAULT_REGION": "three"}
    assert region_of("one", environ, profile) == "one"
    assert region_of("", environ, profile) == "two"
    assert region_of("", {"AWS_REGION": "", "AWS_DEFAULT_REGION": "three"}, profile) == "three"
    assert region_of("", {}, profile) == "four"
    assert region_of("", {}, {}) == "us-east-1"


def test_addresses() -> None:
    assert bedrock_address("eu-west-1") == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert bedrock_address("cn-north-1") == "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"
