"""Parses query strings to plans."""
