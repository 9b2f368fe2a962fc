"""Where the clouds are: an address for each of their regions."""

from __future__ import annotations

import re

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}")
_LOCATION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def bedrock_address(region: str) -> str:
    """The base URL of Bedrock's runtime in an AWS region. Raises ValueError for what is no region."""
    if not _REGION.fullmatch(region):
        raise ValueError(f"not an AWS region: {region!r}")
    return f"https://bedrock-runtime.{region}.{'amazonaws.com.cn' if region.startswith('cn-') else 'amazonaws.com'}"


def vertex_address(location: str) -> str:
    """The base URL of Vertex AI in a location of Google Cloud. `us` and `eu` are multi-regions with hosts of their own. Raises
    ValueError for what is no location."""
    if not _LOCATION.fullmatch(location):
        raise ValueError(f"not a location of Google Cloud: {location!r}")
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in ("us", "eu"):
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"
