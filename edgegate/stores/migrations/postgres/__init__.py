"""Numbered files of SQL for PostgreSQL; `stores/postgres_schema.py` runs them."""
