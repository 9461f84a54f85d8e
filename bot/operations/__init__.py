"""What keeps a running bot well: log, metrics, health, watches, housekeeping, backup."""
