"""Which version of this package runs here."""

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """As bots and engines tell it each other; empty where the package only lies there."""
    try:
        return version("imagine-bot")
    except PackageNotFoundError:
        return ""
