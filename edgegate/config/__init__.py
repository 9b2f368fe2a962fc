"""Configuration: one YAML file, typed, checked, with errors that quote file, line and column."""
