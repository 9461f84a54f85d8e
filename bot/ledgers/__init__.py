"""The ledger, written once over a small database port, and the databases."""
