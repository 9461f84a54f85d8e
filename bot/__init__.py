"""The Discord bot: people, rules, messages and jobs. Never imports jax."""
