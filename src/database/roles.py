"""Logins of the database."""

# Logins with passwords derived from DATABASE_ROLE_SECRET.
LOGINS = ("web_anon", "web_authenticated", "web_service", "psql_staff", "psql_service")
