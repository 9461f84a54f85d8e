"""`imagine`, and `python -m bot`."""

import signal
import sys


def main() -> int:
    """Run the command line and return its exit code."""
    # Ctrl-C ends the process at once, as any program that does not listen. Python's own way, an
    # exception wherever it stands, is swallowed by jax's callbacks, or tears the runtime down under
    # a compilation. Commands that have something to finish set handlers of their own.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from bot.cli import main as cli  # noqa: PLC0415 - after the line above, for it takes its time

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
