"""What the core asks of the world; other rooms implement it."""
