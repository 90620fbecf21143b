"""The REST engine over HTTP."""
