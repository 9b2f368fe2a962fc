"""Schemas of the stores, as numbered SQL files: each takes a store from one version to the next."""
