"""The database's catalog: read from pg_catalog, looked up by name."""
