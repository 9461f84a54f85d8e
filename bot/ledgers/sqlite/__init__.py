"""The ledger's database in one SQLite file."""
