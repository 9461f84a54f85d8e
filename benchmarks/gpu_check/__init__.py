"""What the engine does on an NVIDIA card that is here; `__main__` tells how it is run."""
