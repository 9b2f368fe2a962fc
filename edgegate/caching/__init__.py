"""Answers kept for later: keys and bounded stores."""
