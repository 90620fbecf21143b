"""Errors before anything starts."""


class SettingsError(Exception):
    """Settings are missing or invalid; the message names each one."""
