"""Gemini's `generateContent` API, both sides, for Google AI Studio and for Vertex.

Provider side: `provider.py` and `vertex.py` are the doors; `prompt.py`, `turns.py`, `media.py`, `names.py` and `flavours.py`
write requests, `reply.py`, `stream.py`, `reading.py`, `sound.py` and `grounding.py` read replies, `faults.py` reads errors,
`native.py` reads along where nothing is translated, `embeddings.py` and `counting.py` are the other operations.

Client side: `client.py` and `embed_client.py` are the doors; `asking.py`, `conversation.py`, `parts.py`, `schema.py` and
`fields.py` read requests, `answer.py`, `encode.py` and `framing.py` write replies, `errors.py` and `models.py` the rest.
"""

from edgegate.dialects.gemini.client import CountTokensClient, GenerateClient, StreamClient
from edgegate.dialects.gemini.embed_client import BatchEmbedClient, EmbedClient
from edgegate.dialects.gemini.provider import GeminiProvider
from edgegate.dialects.gemini.vertex import VertexProvider

__all__ = [
    "BatchEmbedClient",
    "CountTokensClient",
    "EmbedClient",
    "GeminiProvider",
    "GenerateClient",
    "StreamClient",
    "VertexProvider",
]
