"""`imagine slack`: what Slack is told of the app."""

import argparse
import json
import sys

from bot.cli.arguments import Parser
from bot.cli.exit_codes import OK
from bot.homes.slack.manifest import manifest


def add_arguments(parser: Parser) -> None:
    """Describe what `run` understands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser(
        "manifest",
        help="print the app's manifest",
        description="Print the manifest of the app as JSON, to be pasted where Slack makes an app "
        "from a manifest.",
    )


def run(_: argparse.Namespace) -> int:
    """Print it."""
    sys.stdout.write(json.dumps(manifest(), indent=2) + "\n")
    return OK
