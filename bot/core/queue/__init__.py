"""The queue of waiting jobs: fair, measured, and each told its place."""
