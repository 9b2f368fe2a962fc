"""failover: another attempt while nothing has reached the client yet.

Each target gets one attempt and `retries` more if the fault is worth it; then the next target, until `attempts` are used up.
Only retryable errors are tried again (429, 408, 409, 5xx, broken or silent connections): any other 4xx is the client's and is
returned at once. A target that was silent (a time limit) is not asked a second time. The last error is the caller's answer.
"""

from __future__ import annotations

import asyncio

from edgegate.chain import Proceed
from edgegate.config.model import FailoverOptions
from edgegate.errors import GatewayError
from edgegate.exchange import Exchange, Reply
from edgegate.resilience.retry import Waits


class Failover:
    """See the module. A relayed upload cannot be sent twice and gets one attempt."""

    def __init__(self, options: FailoverOptions) -> None:
        self._options = options

    async def __call__(self, ex: Exchange, proceed: Proceed) -> Reply:
        options = self._options
        left = options.attempts if ex.upload is None else 1
        for position, target in enumerate(ex.targets):
            ex.target = target
            last_target = position == len(ex.targets) - 1
            waits: Waits | None = None
            tries = 1 + options.retries
            while True:
                left -= 1
                tries -= 1
                try:
                    return await proceed(ex)
                except GatewayError as error:
                    if not error.retryable or left <= 0:
                        raise
                    if tries > 0 and error.status != 504:
                        waits = waits or Waits(options.backoff, options.max_backoff)
                        wait_s = waits.after(error)
                        if wait_s is not None:
                            await asyncio.sleep(wait_s)
                            continue
                    if last_target:
                        raise
                    break
        raise GatewayError(500, "no_target", "route found no target")  # pragma: no cover - route raises 404 itself
