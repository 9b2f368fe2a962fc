"""Every client API over every provider, with the official SDK of each."""
