"""`imagine slack`: what Slack is told of the app."""

import argparse
import json
import sys
from typing import Final
from urllib.parse import urlsplit

from bot.cli.arguments import Parser
from bot.cli.exit_codes import OK
from bot.errors import UsageError
from bot.homes.slack.manifest import PATH, manifest
from bot.shared.shown import one_line

_URL_CHARS: Final = 200


def add_arguments(parser: Parser) -> None:
    """Describe what `run` understands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    printed = actions.add_parser(
        "manifest",
        help="print the app's manifest",
        description="Print the manifest of the app as JSON, to be pasted where Slack makes an app "
        "from a manifest.",
    )
    printed.add_argument(
        "--url",
        default="",
        metavar="HTTPS://...",
        help=f"where Slack sends what it tells, such as https://bot.example.org{PATH}; left out, "
        "the bot opens the connection itself (Socket Mode)",
    )
    printed.add_argument(
        "--token-rotation",
        action="store_true",
        help="have the bot's token end every twelve hours; the bot then needs SLACK_REFRESH_TOKEN, "
        "SLACK_CLIENT_ID and SLACK_CLIENT_SECRET too, and Slack never takes it back",
    )


def run(args: argparse.Namespace) -> int:
    """Print it; raises UsageError."""
    url = _checked(args.url) if args.url else ""
    told = manifest(url=url, rotates_tokens=args.token_rotation)
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    return OK


def _checked(url: str) -> str:
    """An address with the path at which the bot listens, if it has no path."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme == "https" and bool(parts.hostname) and url.isprintable()
    except ValueError:
        fits = False
    if not fits:
        raise UsageError(
            f"--url {one_line(url, _URL_CHARS)} is no address that Slack can send to. Name one "
            "that begins with https:// and leads to the bot, such as "
            f"https://bot.example.org{PATH}."
        )
    return url if parts.path.strip("/") else f"{url.rstrip('/')}{PATH}"
