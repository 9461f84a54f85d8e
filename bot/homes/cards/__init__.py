"""Cards for any home: when they are edited, how often, and the last time surely and once."""
