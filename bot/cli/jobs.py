"""`imagine jobs`: what an operator sees of the jobs on record, and does to them.

Looking reads the ledger. To cancel a job or ask for it again is an order: a row that the
running bot carries out within a second, or the next one when it starts.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from bot.cli.arguments import add_config, whole
from bot.cli.exit_codes import FAILED, OK
from bot.config.reading import load_config
from bot.core import card
from bot.core.job import Record, State
from bot.core.ports.ledger import Answer
from bot.errors import LedgerError
from bot.ledgers import book
from bot.ledgers.records import Records, records_of
from bot.operations import log as logs
from bot.shared.shown import shown

_PATIENCE_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.1
_PROMPT_CHARS: Final = 40
_MAX_ID_CHARS: Final = 100
_MAX_LISTED: Final = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what `work` understands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the latest jobs, the newest first")
    listing.add_argument("--state", choices=[state.value for state in State], help="in this alone")
    listing.add_argument("--user", type=_known_as, metavar="ID", help="of one person")
    listing.add_argument(
        "--limit",
        type=whole(1, _MAX_LISTED),
        default=20,
        metavar="N",
        help="how many at most; default: 20",
    )
    showing = actions.add_parser("show", help="all there is on record of one job")
    cancelling = actions.add_parser("cancel", help="stop a job that waits or is drawn")
    requeuing = actions.add_parser(
        "requeue", help="ask again for a job that ended without pictures"
    )
    for action in (showing, cancelling, requeuing):
        action.add_argument(
            "job", type=_known_as, metavar="JOB", help="its eight letters and digits"
        )
    listing.add_argument("--json", action="store_true", help="print one JSON list")
    showing.add_argument("--json", action="store_true", help="print one JSON object")
    for action in (listing, showing, cancelling, requeuing):
        add_config(action, default=argparse.SUPPRESS)  # one before the action counts, too


def _known_as(text: str) -> str:
    """The type of an argument that is the id of a job or a person."""
    if len(text) > _MAX_ID_CHARS or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{shown(text)} is no id")
    return text


def run(args: argparse.Namespace) -> int:
    """Do what was asked with the bot's records; raises BotError."""
    config = load_config(args.config, os.environ)
    logs.set_up(config.log.level, as_json=config.log.format == "json")
    records = records_of(config.storage.folder, config.storage.database)
    return OK if work(args, records) else FAILED


def work(
    args: argparse.Namespace, records: Records, *, sleep: Callable[[float], None] = time.sleep
) -> bool:
    """Do what was asked; returns False if it was refused or not done yet. Raises BotError."""
    if records.examine() is None:
        raise LedgerError(f"There are no jobs on record: no bot has worked in {records.where}.")
    if args.action in {"cancel", "requeue"}:
        return _order(args, records, sleep)
    with records.reading() as connection:
        if args.action == "list":
            states = [] if args.state is None else [State(args.state)]
            found = book.find(connection, states=states, person_id=args.user, limit=args.limit)
            _print_list(found, as_json=args.json)
        else:
            record = book.get(connection, args.job)
            again_as = book.repeated_as(connection, args.job)
            history = book.history(connection, args.job)
            _print_job(record, history, again_as, as_json=args.json)
    return True


def _order(args: argparse.Namespace, records: Records, sleep: Callable[[float], None]) -> bool:
    with records.writing() as connection:
        order_id = book.add_order(connection, args.job, args.action, time.time())
    if not records.is_in_use():
        _say("No bot is running; the next one does it when it starts.")
        return True
    until_s = time.monotonic() + _PATIENCE_S
    while (answer := _answer(records, order_id)) is None:
        if time.monotonic() > until_s:
            _say("The bot has not answered; it does it as soon as it can.")
            return False
        sleep(_LOOK_EVERY_S)
    _say(answer.sentence)
    return answer.done


def _answer(records: Records, order_id: int) -> Answer | None:
    with records.reading() as connection:
        return book.answer(connection, order_id)


def _print_list(records: list[Record], *, as_json: bool) -> None:
    if as_json:
        _say(json.dumps([_as_json(record) for record in records]))
        return
    if not records:
        _say("There are no such jobs.")
        return
    _say(f"{'JOB':<9} {'STATE':<11} {'ASKED (UTC)':<17} {'BY':<16} PROMPT")
    for record in records:
        job = record.job
        prompt = " ".join(job.wish.prompt.split())
        cut = prompt if len(prompt) <= _PROMPT_CHARS else prompt[: _PROMPT_CHARS - 1] + "…"
        _say(
            f"{job.id:<9} {record.state:<11} {_at(job.asked_at_s)[:16]:<17} "
            f"{job.person.name[:16]:<16} {cut}"
        )


def _print_job(
    record: Record,
    history: list[tuple[float, str, str]],
    again_as: str | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        steps = [{"at": _at(at_s), "state": state, "reason": why} for at_s, state, why in history]
        _say(json.dumps({**_as_json(record), "again_as": again_as, "history": steps}))
        return
    job, wish, venue = record.job, record.job.wish, record.job.origin.venue
    _say(f"Job {job.id}, {record.state}" + ("" if record.attempt < 2 else ", second try"))  # noqa: PLR2004 - the second
    if job.again_of is not None:
        _say(f"It is the job {job.again_of} again.")
    if again_as is not None:
        _say(f"It was asked for again as {again_as}.")
    _say(f"Asked by {job.person.name} ({job.person.id}) on {job.home}, ", end="")
    _say(f"in server {venue.community}, channel {venue.channel}, message {job.origin.message}")
    _say(f"Prompt: {wish.prompt}")
    if wish.negative_prompt:
        _say(f"Stay away from: {wish.negative_prompt}")
    size = () if wish.size_px is not None else ("the model's size",)
    _say(", ".join((f"{wish.num_images} pictures", *card.settings(wish), *size)))
    for at_s, state, why in history:
        _say(f"{_at(at_s)}  {state}" + (f": {why}" if why else ""))
    for image in record.images:
        _say(f"{image.filename}  {image.size_bytes} bytes  sha256 {image.sha256}")


def _as_json(record: Record) -> dict[str, object]:
    job, wish, venue = record.job, record.job.wish, record.job.origin.venue
    return {
        "job": job.id,
        "state": record.state.value,
        "attempt": record.attempt,
        "reason": record.reason,
        "told": record.told,
        "home": job.home,
        "user_id": _id(job.person.id),
        "user_name": job.person.name,
        "guild_id": _id(venue.community),
        "channel_id": _id(venue.channel),
        "message_id": _id(job.origin.message),
        "asked_at": _at(job.asked_at_s),
        "again_of": job.again_of,
        "prompt": wish.prompt,
        "negative_prompt": wish.negative_prompt,
        "seed": wish.seed,
        "steps": wish.num_inference_steps,
        "guidance": wish.guidance_scale,
        "images": [image.filename for image in record.images],
    }


def _id(text: str | None) -> int | str | None:
    """An id as it was printed before there were other homes: Discord's are numbers."""
    return int(text) if text is not None and text.isdecimal() else text


def _at(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(sep=" ", timespec="seconds")[:19]


def _say(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()
