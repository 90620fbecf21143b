"""Schemas that are PostgreSQL's own."""

import re

OF_THE_SYSTEM = re.compile("pg_.*|information_schema", re.DOTALL)
