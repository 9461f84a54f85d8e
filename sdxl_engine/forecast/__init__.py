"""What a TPU that is not here would make of the programs."""
