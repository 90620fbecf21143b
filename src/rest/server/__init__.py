"""`ecotrips rest`: the engine alone over any database."""
