"""Who may do what: keys and their scopes. Pure: no clock, no store, no network."""
