"""`imagine filter`: which rules of the prompt filter a text meets, and which there are."""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Final

from bot.cli.arguments import Parser
from bot.cli.exit_codes import FAILED, OK
from bot.config.reading import load_config
from bot.core.verdict import MEASURES, Term
from bot.errors import UsageError
from bot.moderation.lists import Lists, owners_lists
from bot.moderation.prompt_filter import ListFilter, Seen
from bot.shared.shown import one_line
from sdxl_engine.request import MAX_PROMPT_CHARS

_RULE_CHARS: Final = 120
_READ_CHARS: Final = 200


def add_arguments(parser: Parser) -> None:
    """Describe what `run` understands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    test = actions.add_parser(
        "test",
        help="say which rules a text meets",
        description="Say which rules a text meets, and how it was read. The exit code is 0 if it "
        "meets none and 1 if it meets any.",
    )
    test.add_argument("text", help="what somebody might ask for, in quotes")
    test.add_argument("--json", action="store_true", help="print one JSON object")
    counts = actions.add_parser(
        "list",
        help="say how many rules there are",
        description="Say how many rules there are, by list, category and measure.",
    )
    counts.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do it; raises ConfigError, UsageError."""
    config = load_config(args.config, os.environ).filter
    lists = owners_lists(config.file, starter=config.starter)
    if args.action == "list":
        sys.stdout.write(_counts(lists, as_json=args.json))
        return OK
    if len(args.text) > MAX_PROMPT_CHARS:
        raise UsageError(
            f"The text has {len(args.text):,} characters; {MAX_PROMPT_CHARS:,} are the most. "
            "Shorten it."
        )
    terms = [term for each in lists.values() for term in each]
    seen = ListFilter(terms).seen({"text": args.text})
    sys.stdout.write(_seen(lists, seen, as_json=args.json))
    return FAILED if seen else OK


def _seen(lists: Lists, seen: Sequence[Seen], *, as_json: bool) -> str:
    rows = [
        {
            "rule": one.hit.rule,
            "category": one.hit.term.category,
            "measure": one.hit.term.measure,
            "list": next(name for name, terms in lists.items() if one.hit.term in terms),
            "way": one.hit.reading.way,
            "read": one.hit.reading.line.strip(),
        }
        for one in seen
    ]
    if as_json:
        return json.dumps({"findings": rows}) + "\n"
    if not rows:
        return "No rule is met.\n"
    lines = []
    for row in rows:
        rule = one_line(row["rule"], _RULE_CHARS)
        lines += [
            f"{row['measure'].ljust(7)} {row['category']}: {rule} ({row['list']})",
            f"        as read: {one_line(row['read'], _READ_CHARS)} ({row['way']})",
        ]
    return "\n".join(lines) + "\n"


def _counts(lists: Lists, *, as_json: bool) -> str:
    counted = Counter(
        (name, "exceptions" if term.kind == "exception" else term.category, _measure(term))
        for name, terms in lists.items()
        for term in terms
    )
    rows = [
        {"list": name, "category": category, "measure": measure, "count": count}
        for (name, category, measure), count in counted.items()
    ]
    if as_json:
        return json.dumps({"lists": rows}) + "\n"
    if not rows:
        return "There are no rules here: [filter] names no list.\n"
    width = max(len("category"), *(len(category) for _, category, _ in counted))
    measures = max(map(len, ("measure", *MEASURES)))
    head = f"{'category'.ljust(width)}  {'measure'.ljust(measures)}   count  list\n"
    return head + "".join(
        f"{category.ljust(width)}  {measure.ljust(measures)}  {count:6,}  {name}\n"
        for (name, category, measure), count in counted.items()
    )


def _measure(term: Term) -> str:
    return "" if term.kind == "exception" else term.measure
