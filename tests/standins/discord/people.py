"""The people of the default world, by their ids."""

ADA, BEN, CLEO, MIA = (900_000_000_000_000_400 + n for n in (1, 2, 3, 4))
PAINTERS = 900_000_000_000_000_201  # Ben's role
