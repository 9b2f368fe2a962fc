"""Where Bedrock is: an address for each region."""

from __future__ import annotations

import re

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}")


def bedrock_address(region: str) -> str:
    """The base URL of Bedrock's runtime in a region. Raises ValueError for what is no region."""
    if not _REGION.fullmatch(region):
        raise ValueError(f"not an AWS region: {region!r}")
    return f"https://bedrock-runtime.{region}.{'amazonaws.com.cn' if region.startswith('cn-') else 'amazonaws.com'}"
