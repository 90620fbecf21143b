"""What is refused before anything starts."""


class SettingsError(Exception):
    """Settings are missing or make no sense; the message names each."""
