"""Gemini's `generateContent` API: the provider side, for Google AI Studio's REST endpoint.

`provider.py` is the door; `prompt.py`, `turns.py`, `media.py` and `names.py` write requests, `reply.py`, `stream.py`,
`reading.py` and `grounding.py` read replies, `faults.py` reads errors, `native.py` reads along where nothing is translated.
"""

from edgegate.dialects.gemini.provider import GeminiProvider

__all__ = ["GeminiProvider"]
