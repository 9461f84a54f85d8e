"""The command line: `main.py`, and a file for each command."""
