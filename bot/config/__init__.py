"""`config.toml` and the environment: the sections, what a key may hold, the reading."""
