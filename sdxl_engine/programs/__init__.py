"""The compiled programs, and their cache on the disk."""
