"""The ledger's database in PostgreSQL, for a bot that is more than one process or one machine."""
