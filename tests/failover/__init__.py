"""Failover seen from outside: a provider that misbehaves on order, a gateway in front of it, and callers who read to the letter."""
