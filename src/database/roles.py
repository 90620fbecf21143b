"""Logins of the database."""

# Who logs in with a password derived from DATABASE_ROLE_SECRET.
LOGINS = ("web_anon", "web_authenticated", "web_service", "psql_staff", "psql_service")
