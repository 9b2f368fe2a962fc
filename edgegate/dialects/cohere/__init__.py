"""Cohere's API, version 2: `/v2/chat`, `/v2/embed` and `/v2/rerank`, as a provider and as formats that apps speak to us.

Version 1 of the chat (`/v1/chat`, one `message` beside a `chat_history`) is another format and not spoken here.
"""
