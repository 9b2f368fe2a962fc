"""The Azure OpenAI dialect: OpenAI's, with deployments in the path, another credential and its own errors."""

from edgegate.dialects.azure.provider import AzureProvider

__all__ = ["AzureProvider"]
