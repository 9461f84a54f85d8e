"""What draws: a warm pipeline from the configuration. The only room that may bring jax."""
