"""The places that AWS credentials come from, each asked in its own way.

A source that is not set up is passed over; one that is set up and fails ends the search, because the next one would be
somebody else. Replies are read with a size limit and a deadline, never through a proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import html
import re
import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson

from edgegate.errors import GatewayError
from edgegate.upstream.aws_profiles import Profiles
from edgegate.wire.sigv4 import Credentials

Fetch = Callable[[str, str, Mapping[str, str], bytes, float], Awaitable[tuple[int, bytes]]]
"""(method, url, headers, body, deadline in seconds) -> (status, body). Raises OSError or TimeoutError."""

METADATA_S = 1.0
ENDPOINT_S = 5.0
PROCESS_S = 30.0
MAX_REPLY = 256 * 1024

_METADATA = "http://169.254.169.254"
_CONTAINER = "http://169.254.170.2"
_CONTAINER_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"})
_ROLE_PATH = "/latest/meta-data/iam/security-credentials/"
_SESSION = "edgegate"


class Source(enum.Enum):
    NONE = "none"
    ENVIRONMENT = "environment"
    WEB_IDENTITY = "web identity"
    PROFILE = "profile"
    CONTAINER = "container"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Held:
    """Credentials and when they run out, in Unix seconds; None: never."""

    credentials: Credentials
    expires: float | None = None


def unavailable(message: str, status: int) -> GatewayError:
    """500 for what must be set up here, 502 for a service that does not answer as it should."""
    return GatewayError(status, "credentials_unavailable", message, retryable=status == 502)


async def fetch(method: str, url: str, headers: Mapping[str, str], body: bytes, deadline_s: float) -> tuple[int, bytes]:
    """The usual `Fetch`: one connection for one request, past any proxy."""
    timeout = aiohttp.ClientTimeout(total=deadline_s)
    async with aiohttp.ClientSession(trust_env=False, timeout=timeout) as session:
        try:
            async with session.request(method, url, headers=dict(headers), data=body or None, allow_redirects=False) as reply:
                return reply.status, await reply.content.read(MAX_REPLY)
        except aiohttp.ClientError as error:
            raise OSError(type(error).__name__) from None


class Sources:
    """The chain."""

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float], profiles: Profiles, region: str, fetch: Fetch) -> None:
        self._environ = environ
        self._clock = clock
        self._profiles = profiles
        self._region = region
        self._fetch = fetch

    async def find(self) -> tuple[Source, Held]:
        environ = self._environ
        if not self._profiles.explicit:
            if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
                token = environ.get("AWS_SESSION_TOKEN") or environ.get("AWS_SECURITY_TOKEN") or ""
                return Source.ENVIRONMENT, Held(Credentials(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], token))
            if environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") and environ.get("AWS_ROLE_ARN"):
                session = environ.get("AWS_ROLE_SESSION_NAME") or _SESSION
                held = await self._web_identity(environ["AWS_WEB_IDENTITY_TOKEN_FILE"], environ["AWS_ROLE_ARN"], session)
                return Source.WEB_IDENTITY, held
        found = await self._profile()
        if found is not None:
            return Source.PROFILE, found
        if self._profiles.explicit or environ.get("AWS_PROFILE"):
            raise unavailable(f"the AWS profile {self._profiles.name!r} holds no credentials, or is in no file", 500)
        if environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") or environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
            return Source.CONTAINER, await self._container()
        if (environ.get("AWS_EC2_METADATA_DISABLED") or "").lower() != "true":
            instance = await self._instance()
            if instance is not None:
                return Source.INSTANCE, instance
        raise unavailable(
            "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, or run where a role is provided", 500
        )

    async def _profile(self) -> Held | None:
        settings = self._profiles.settings()
        if settings.get("aws_access_key_id") and settings.get("aws_secret_access_key"):
            token = settings.get("aws_session_token", "")
            return Held(Credentials(settings["aws_access_key_id"], settings["aws_secret_access_key"], token))
        if settings.get("web_identity_token_file") and settings.get("role_arn"):
            session = settings.get("role_session_name") or _SESSION
            return await self._web_identity(settings["web_identity_token_file"], settings["role_arn"], session)
        if settings.get("credential_process"):
            return await self._process(settings["credential_process"])
        if any(settings.get(name) for name in ("sso_session", "sso_start_url", "role_arn", "login_session")):
            name = self._profiles.name
            raise unavailable(
                f"the AWS profile {name!r} signs in or assumes a role, which is not done here: give it a credential_process such as "
                f"`aws configure export-credentials --profile {name} --format process` in a profile of its own",
                500,
            )
        return None

    async def _process(self, command: str) -> Held:
        """Run without a shell; what it prints beside the keys is seen by nobody."""
        try:
            words = shlex.split(command)
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=dict(self._environ),
            )
        except (OSError, ValueError, TypeError) as error:
            raise unavailable(f"the credential_process cannot be run: {type(error).__name__}", 500) from None
        try:
            async with asyncio.timeout(PROCESS_S):
                out, _ = await process.communicate()
        except TimeoutError:
            raise unavailable(f"the credential_process took longer than {PROCESS_S:g} s", 502) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        if process.returncode != 0:
            raise unavailable(f"the credential_process ended with status {process.returncode}", 502)
        value = _parsed(out, "the credential_process")
        if value.get("Version") != 1:
            raise unavailable("the credential_process printed another version than 1", 502)
        return _held(value, "SessionToken", "the credential_process")

    async def _web_identity(self, file: str, role: str, session: str) -> Held:
        """AssumeRoleWithWebIdentity is the one call that needs no signature: the token is the proof."""
        try:
            with open(file, encoding="ascii") as opened:  # noqa: ASYNC230  a mounted file of a few hundred bytes
                token = opened.read(MAX_REPLY).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise unavailable(f"the web identity token file {file} cannot be read: {type(error).__name__}", 500) from None
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": role,
            "RoleSessionName": session,
            "WebIdentityToken": token,
        }
        headers = {"content-type": "application/x-www-form-urlencoded"}
        status, body = await self._ask("STS", "POST", self._sts(), headers, ENDPOINT_S, urlencode(form).encode())
        if status != 200:
            raise unavailable(f"STS refused the web identity with status {status}: {_xml(body, 'Code') or 'no reason given'}", 502)
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        return _held({name: _xml(body, name) for name in names}, "SessionToken", "STS")

    def _sts(self) -> str:
        given = self._environ.get("AWS_ENDPOINT_URL_STS") or self._environ.get("AWS_ENDPOINT_URL")
        suffix = "amazonaws.com.cn" if self._region.startswith("cn-") else "amazonaws.com"
        return given.rstrip("/") + "/" if given else f"https://sts.{self._region}.{suffix}/"

    async def _container(self) -> Held:
        environ = self._environ
        relative = environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        url = _CONTAINER + "/" + relative.lstrip("/") if relative else environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
        parts = urlsplit(url)
        if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in _CONTAINER_HOSTS):
            raise unavailable("AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http on this host", 500)
        token = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN") or ""
        file = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        if file:
            try:
                with open(file, encoding="ascii") as opened:  # noqa: ASYNC230  a mounted file of a few hundred bytes
                    token = opened.read(MAX_REPLY)
            except (OSError, UnicodeDecodeError) as error:
                raise unavailable(f"the container's token file {file} cannot be read: {type(error).__name__}", 500) from None
        token = token.strip()
        if "\r" in token or "\n" in token:
            raise unavailable("the container's authorization token holds a line break", 500)
        headers = {"accept": "application/json", **({"authorization": token} if token else {})}
        status, body = await self._ask("the container's credential endpoint", "GET", url, headers, ENDPOINT_S)
        if status != 200:
            raise unavailable(f"the container's credential endpoint answered with status {status}", 502)
        return _held(_parsed(body, "the container's credential endpoint"), "Token", "the container's credential endpoint")

    async def _instance(self) -> Held | None:
        """None where there is no metadata service, or no role: this is no instance that has one."""
        base = (self._environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _METADATA).rstrip("/")
        try:
            status, token = await self._fetch(
                "PUT", base + "/latest/api/token", {"x-aws-ec2-metadata-token-ttl-seconds": "21600"}, b"", METADATA_S
            )
            if status != 200:
                return None
            headers = {"x-aws-ec2-metadata-token": token.decode("ascii", "replace").strip()}
            status, listed = await self._fetch("GET", base + _ROLE_PATH, headers, b"", METADATA_S)
            role = listed.decode("ascii", "replace").strip().partition("\n")[0].strip()
            if status != 200 or not role or "/" in role:
                return None
        except (OSError, TimeoutError):
            return None
        status, body = await self._ask("the instance's metadata service", "GET", base + _ROLE_PATH + role, headers, METADATA_S)
        value = _parsed(body, "the instance's metadata service") if status == 200 else {}
        if value.get("Code", "Success") != "Success" or status != 200:
            raise unavailable("the instance's metadata service has no credentials for the instance's role", 502)
        return _held(value, "Token", "the instance's metadata service")

    async def _ask(
        self, who: str, method: str, url: str, headers: Mapping[str, str], deadline_s: float, body: bytes = b""
    ) -> tuple[int, bytes]:
        try:
            return await self._fetch(method, url, headers, body, deadline_s)
        except (OSError, TimeoutError) as error:
            raise unavailable(f"{who} cannot be reached: {type(error).__name__}", 502) from None


def _held(value: Mapping[str, Any], token: str, who: str) -> Held:
    key, secret, session, until = (value.get(name) for name in ("AccessKeyId", "SecretAccessKey", token, "Expiration"))
    if not isinstance(key, str) or not isinstance(secret, str) or not key or not secret:
        raise unavailable(f"{who} gave no credentials", 502)
    return Held(Credentials(key, secret, session if isinstance(session, str) else ""), _moment(until, who))


def _moment(text: Any, who: str) -> float | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise unavailable(f"{who} gave credentials with an end that is no time", 502) from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _parsed(body: bytes, who: str) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise unavailable(f"{who} gave no JSON object", 502)
    return value


def _xml(body: bytes, name: str) -> str:
    """The text of an element; STS answers flat XML, each name once."""
    found = re.search(rf"<{name}>\s*([^<]*?)\s*</{name}>", body.decode("utf-8", "replace"))
    return html.unescape(found[1]) if found else ""
