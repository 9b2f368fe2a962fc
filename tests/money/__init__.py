"""The bill as a proof from outside: real gateway processes, a provider that keeps its own bill, and a ledger that must agree with it."""
