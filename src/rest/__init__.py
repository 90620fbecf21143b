"""The REST engine: PostgREST's interface over any PostgreSQL."""
