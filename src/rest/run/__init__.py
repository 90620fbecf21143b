"""Runs statements as the caller, and words failures as PostgREST does."""
