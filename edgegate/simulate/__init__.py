"""A built-in stand-in for the providers, to try edgegate, test against it and load it without any key."""

from edgegate.simulate.main import Running, serve, start

__all__ = ["Running", "serve", "start"]
