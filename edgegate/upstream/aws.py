"""AWS credentials by the standard chain, and requests signed with them.

In order: the environment, a web identity token (EKS), a profile of the shared files (keys, a web identity or a process that
prints keys), the container's endpoint (ECS, EKS Pod Identity), the instance's metadata service (IMDSv2). A profile that is
named in the configuration is the only source then. Keys that run out are fetched anew five minutes ahead, once for all who
wait; as long as the old ones hold, a failure is no one's problem. No secret gets into a message or a `repr`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from edgegate.dialects.base import HeaderList
from edgegate.errors import GatewayError
from edgegate.upstream.aws_profiles import Profiles
from edgegate.upstream.aws_sources import Fetch, Held, Source, Sources, fetch, unavailable
from edgegate.wire.sigv4 import Signer

AHEAD_S = 300.0
"""Keys are fetched anew so long before they run out."""

LOOK_AGAIN_S = 5.0
"""The shared files are looked at again at most so often, and a source that failed is asked again."""

_SIGNED = frozenset({b"content-type"})


class AwsCredential:
    """See `Credential`. `clock` gives Unix seconds; `profile` and `region` are those of the configuration, "" if not there."""

    signs_body = True

    def __init__(
        self,
        environ: Mapping[str, str],
        clock: Callable[[], float],
        *,
        region: str = "",
        profile: str = "",
        service: str = "bedrock",
        fetch: Fetch = fetch,
    ) -> None:
        self._clock = clock
        self._profiles = Profiles(environ, profile)
        self.region = region_of(region, environ, _settings(self._profiles))
        self._sources = Sources(environ, clock, self._profiles, self.region, fetch)
        self._signer = Signer(self.region, service)
        self._held: Held | None = None
        self._source = Source.NONE
        self._next = float("-inf")  # when to ask again
        self._looked = float("-inf")
        self._run: asyncio.Task[None] | None = None
        self._failure = (float("-inf"), "", 0)  # until when there is no use in asking, and why

    def __repr__(self) -> str:
        return f"AwsCredential(region={self.region!r}, source={self._source.value!r})"

    async def refresh(self) -> None:
        now = self._clock()
        if self._held is not None and now < self._next and not self._changed(now):
            return
        until, message, status = self._failure
        if now < until:
            raise unavailable(message, status)
        if self._run is None or self._run.done():
            self._run = asyncio.get_running_loop().create_task(self._find())
            self._run.add_done_callback(_seen)
        await asyncio.shield(self._run)  # a caller that leaves takes nobody else's keys along

    def lines(self, method: str, host: str, path: str, headers: HeaderList, body: bytes) -> HeaderList:
        """Signs the lines that nobody changes on the way: host, content type, and what is Amazon's own."""
        held = self._held
        if held is None:
            raise unavailable("no AWS credentials: refresh() has not found any", 500)
        signed = [(name, value) for name, value in headers if name.lower() in _SIGNED or name.lower().startswith(b"x-amz-")]
        return self._signer.sign(method, host, path, signed, body, held.credentials, self._clock())

    def _changed(self, now: float) -> bool:
        """Whether the shared files are not what the keys were read from."""
        if self._source is not Source.PROFILE or now < self._looked + LOOK_AGAIN_S:
            return False
        self._looked = now
        return self._profiles.changed()

    async def _find(self) -> None:
        try:
            self._source, held = await self._sources.find()
        except GatewayError as error:
            now = self._clock()
            if self._held is None or (self._held.expires is not None and self._held.expires <= now):
                self._failure = (now + LOOK_AGAIN_S, error.message, error.status)
                raise
            self._next = now + LOOK_AGAIN_S  # the ones at hand still hold
            return
        now = self._clock()
        if held.expires is not None and held.expires <= now:
            raise unavailable("the AWS credentials that were found have run out", 502)
        self._held = held
        self._looked = now
        # a source that gives keys with less than that left is not asked for every request
        self._next = float("inf") if held.expires is None else max(held.expires - AHEAD_S, min(now + 60, (now + held.expires) / 2))


def region_of(option: str, environ: Mapping[str, str], profile: Mapping[str, str]) -> str:
    """The region: the configuration's, the environment's, the profile's; Bedrock's first one where nobody says."""
    for found in (option, environ.get("AWS_REGION"), environ.get("AWS_DEFAULT_REGION"), profile.get("region")):
        if found and found.strip():
            return found.strip()
    return "us-east-1"


def _settings(profiles: Profiles) -> Mapping[str, str]:
    """A file that cannot be read is reported when it is needed."""
    try:
        return profiles.settings()
    except GatewayError:
        return {}


def _seen(task: asyncio.Task[None]) -> None:
    """Takes note of an error that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
