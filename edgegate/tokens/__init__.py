"""Counting tokens without asking a provider."""
