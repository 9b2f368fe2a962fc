"""Bytes on the wire: event streams, JSON splices, headers. Sans-IO, imported by dialects and servers alike."""
