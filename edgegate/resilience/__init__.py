"""What to do when a provider misbehaves, as pure decisions: no clock, no sleeping, no network."""
