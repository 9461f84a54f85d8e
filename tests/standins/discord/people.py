"""The people and roles of the default world and of the varied one, by their ids."""

ADA, BEN, CLEO, MIA = (900_000_000_000_000_400 + n for n in (1, 2, 3, 4))
PAINTERS = 900_000_000_000_000_201  # Ben's role
# In the varied world alone.
TESS, MAX = (900_000_000_000_000_400 + n for n in (5, 6))
TRUSTED, MANAGERS = (900_000_000_000_000_200 + n for n in (4, 5))
SKETCHES, SHOWCASE, LATE_NIGHT, MOD_LOG = (900_000_000_000_000_300 + n for n in (11, 3, 4, 5))
