"""Connections to PostgreSQL and the embedded server, for the families and the REST engine."""
