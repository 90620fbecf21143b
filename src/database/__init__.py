"""Connections to PostgreSQL and the embedded server: the ground floor that families and the REST engine stand on."""
