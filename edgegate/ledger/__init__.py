"""Money: what tokens cost, and the append-only record of what was spent."""
