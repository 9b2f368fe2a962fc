"""The combinations that most tests run in: each client dialect with each provider dialect, plain and streamed."""

from __future__ import annotations

import pytest

from tests.hard.speech import ANTHROPIC_REPLY, OPENAI_REPLY

COMBINATIONS = [(client, provider) for client in ("openai", "anthropic") for provider in ("openai", "anthropic")]
REPLIES = {"openai": OPENAI_REPLY, "anthropic": ANTHROPIC_REPLY}

combinations = pytest.mark.parametrize(("dialect", "target"), COMBINATIONS, ids=[f"{c} client, {p} provider" for c, p in COMBINATIONS])
kinds = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
