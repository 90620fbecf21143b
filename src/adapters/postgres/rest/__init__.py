"""The REST engine on Postgres: catalog → planner → SQL → execution."""
