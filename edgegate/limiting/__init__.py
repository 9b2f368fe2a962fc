"""Limits and budgets at work: reserve before, settle after."""
