"""Whose model an id names, and what that model takes: Converse is one format, but not every model takes all of it.

Ids are `amazon.nova-lite-v1:0`, the same behind a region (`us.`, `global.`), or an ARN, which holds such an id or does not
(application inference profiles, imported models). What an id does not tell counts as not there, except that reasoning which
an unknown model signed goes back to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from edgegate.dialects.anthropic.abilities import Abilities, abilities_of

_GEO = re.compile(r"^(?:us|us-gov|eu|apac|jp|au|ca|sa|me|af|in|global)\.")
_OLD_CLAUDE = Abilities(thinking=False, adaptive=False, sampling=True, top_p_too=True, schema=False)
_CLAUDE_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_SCHEMA = re.compile(
    r"^(?:qwen\.|openai\.|deepseek\.v[3-9]|google\.|minimax\.|moonshot|nvidia\.|zai\.|mistral\.(?:magistral|ministral|mistral-large-3|voxtral|devstral))"
)
"""Makers and models besides Claude that take `outputConfig.textFormat`: recorded (converse-json_schema-*), or documented."""

_NO_CHOICE = ("meta", "writer", "ai21", "cohere")
"""Makers whose models take tools but no `toolChoice`."""


@dataclass(frozen=True, slots=True)
class Family:
    """What a model takes.

    maker: `anthropic`, `amazon`, `meta`, ...; "" where the id does not tell.
    claude: what a Claude takes; None for every other model.
    nova: generation of Amazon Nova, 0 for every other model.
    schema: `outputConfig.textFormat` and strict tools. choice: `toolChoice`. forced: a tool can be forced by name.
    caching: cache points; `hour`: those of an hour too.
    """

    id: str
    maker: str
    claude: Abilities | None
    nova: int
    schema: bool
    choice: bool
    forced: bool
    caching: bool
    hour: bool

    @property
    def signs(self) -> bool:
        """Whether signed reasoning of Anthropic's may come from it and go to it."""
        return self.claude is not None or not self.maker

    @property
    def format(self) -> str:
        """Name of the format of this maker's own reasoning state, in `reasoning_details`."""
        return f"bedrock-{self.maker}-v1"


def family_of(model: str) -> Family:
    id = base_id(model)
    if "claude" in id:
        version = _version(id)
        return Family(
            id=id,
            maker="anthropic",
            claude=abilities_of(id) if version >= (3, 0) else _OLD_CLAUDE,
            nova=0,
            schema=version >= (4, 5),
            choice=True,
            forced=version >= (3, 0),
            caching=version >= (3, 5),
            hour=version >= (4, 5),
        )
    maker = id.partition(".")[0] if "." in id and "/" not in id else ""
    nova = (2 if "nova-2" in id else 1) if maker == "amazon" and "nova" in id else 0
    return Family(
        id=id,
        maker=maker,
        claude=None,
        nova=nova,
        schema=_SCHEMA.match(id) is not None,
        choice=maker not in _NO_CHOICE,
        forced=nova > 0 or not maker,
        caching=nova > 0,
        hour=False,
    )


def base_id(model: str) -> str:
    """The id without an ARN around it and a region before it."""
    return _GEO.sub("", model.rpartition("/")[2] if model.startswith("arn:") and "." in model.rpartition("/")[2] else model)


def path_of(model: str, verb: str) -> str:
    """The path of an operation. The name may come from a client: it fills one segment and cannot climb."""
    return f"/model/{quote(model, safe='', errors='replace')}/{verb}"


def _version(id: str) -> tuple[int, int]:
    """Of a Claude; the oldest have `-v2` and `instant-v1` for it. A name without a version counts as the newest."""
    if "claude-v" in id or "claude-instant" in id:
        return (2, 0)
    found = _CLAUDE_VERSION.search(id)
    return (int(found[1]), int(found[2] or 0)) if found else (99, 0)
