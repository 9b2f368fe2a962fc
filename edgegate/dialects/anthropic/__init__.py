"""The Anthropic dialect: `MessagesClient` and `CountTokensClient` for apps that speak the Messages API to us,
`AnthropicProvider` for speaking it to Anthropic, and `models` for the list of models as its SDKs read it."""

from edgegate.dialects.anthropic.client import CountTokensClient, MessagesClient
from edgegate.dialects.anthropic.provider import AnthropicProvider

__all__ = ["AnthropicProvider", "CountTokensClient", "MessagesClient"]
