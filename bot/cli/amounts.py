"""Amounts of bytes, as people read them."""


def amount(size_bytes: float) -> str:
    """Three digits and a unit, in thousands: as drives and chips are sold."""
    for unit in ("bytes", "KB", "MB"):
        if size_bytes < 1000:  # noqa: PLR2004 - as said above
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} GB"
