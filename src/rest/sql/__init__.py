"""Writes statements from plan and catalog."""
