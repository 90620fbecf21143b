"""What the database has: read from pg_catalog, looked up by name."""
