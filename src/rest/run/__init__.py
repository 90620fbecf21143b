"""Statements run as the caller, and failures told in PostgREST's words."""
