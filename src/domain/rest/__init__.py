"""The REST query language: what a request means, as plain values, before any database is asked.

The language is PostgREST's (https://docs.postgrest.org/en/stable/references/api.html); grammar and messages follow it.
"""
