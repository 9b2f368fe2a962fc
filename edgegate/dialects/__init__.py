"""Wire formats of LLM APIs, sans-IO: bytes and JSON in, bytes and JSON out; no sockets, no clock, no environment."""
