"""A ledger in which much has happened, by the books' own transactions."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from hypothesis import strategies as st

from bot.core.audit import Deed
from bot.core.case import Block, Case, Report
from bot.core.defaults import Defaults, Manner, Scope
from bot.core.job import FINAL, MOVES, State, StoredImage
from bot.core.policy import Limits
from bot.core.ports.ledger import Answer
from bot.core.ports.registry import Settings
from bot.core.rules import Place, Rules
from bot.core.verdict import Finding, Term
from bot.core.wish import Wish
from bot.errors import BotError
from bot.ledgers import book, privacy_book, registry_book
from bot.ledgers.database import Connection
from sdxl_engine.sentence import say
from tests.bot.core.jobs import HOME, NOON_S, make_job, make_person

LIMITS = Limits(queued=1000)
# One thing that happens: what, and three numbers that say to whom, and how.
Happening = tuple[str, int, int, int]
# Texts that databases order differently, or might keep otherwise.
TEXTS = ("", "a", "B", "é", "ß", "\N{CAT FACE}", "a\\b\tc\nd", "%s ? {x}", "\\N", "z" * 3_000)
_WAYS = (State.RUNNING, State.DRAWN, State.DELIVERED)
_HAPPENINGS = (
    *("ask", "move on", "move on", "move on", "end", "tell", "like", "hear", "look at the clock"),
    *("mention", "usual", "rules", "settings", "terms", "block", "unblock", "case", "report"),
    *("warn", "told", "order", "settle", "delete pictures", "erase", "forget"),
)
happenings = st.lists(
    st.tuples(
        st.sampled_from(_HAPPENINGS), st.integers(0, 3), st.integers(0, 9), st.integers(0, 2**32)
    ),
    max_size=60,
)


def happen(connection: Connection, story: Sequence[Happening]) -> None:
    """Let all of it happen, but what the books refuse."""
    for number, (what, who, how, odd) in enumerate(story):
        connection.execute("SAVEPOINT happening")
        with suppress(BotError):
            _do(connection, what, who, how, NOON_S + number + odd / 7)
        connection.execute("RELEASE happening")


def _do(  # noqa: PLR0912 - one for each happening
    connection: Connection, what: str, who: int, how: int, at_s: float
) -> None:
    person, text = make_person(who), TEXTS[how]
    jobs = book.find(connection, limit=100)
    job = jobs[how % len(jobs)] if jobs else None
    community = str(who)
    deed = Deed("warn", "7", HOME, community, text, text, {"x": at_s})
    match what:
        case "ask":
            wish = Wish(text or "?", size_px=(64, 64), upscale=2 if how == 3 else None)
            again_of = None if job is None or job.state not in FINAL else job.job.id
            asked = make_job(user_id=who, guild_id=who or None, wish=wish, asked_at_s=at_s)
            book.accept(connection, replace(asked, again_of=again_of), LIMITS)
        case "move on" if job is not None:
            legal = [one for one in _WAYS if one in MOVES.get(job.state, ())]
            images = [StoredImage(index, 2**63 - 1, text, "ab" * 32, 2**40) for index in range(who)]
            if legal:
                images = images if legal[0] is State.DRAWN else []
                book.move(connection, job.job.id, legal[0], at_s, images=images, reason=text)
        case "end" if job is not None and job.state not in FINAL:
            book.move(connection, job.job.id, State.FAILED, at_s, reason=say("No {x}.", x=text))
        case "tell" if job is not None:
            book.tell(connection, job.job.id)
        case "like" if job is not None:
            book.like(connection, person, job.job.id, 0, at_s, liked=how != 0)
        case "hear":
            book.hear(connection, make_job(guild_id=who or None).origin, text)
        case "look at the clock":
            book.look_at_clock(connection, at_s, None)
        case "mention":
            book.set_mention(connection, person, wanted=bool(how), at_s=at_s)
        case "usual":
            usual = Defaults(Wish(text), Manner(private=bool(how % 2)))
            book.set_defaults(connection, Scope(HOME, "person", text), usual, person, at_s)
        case "rules":
            place = Place(text or None, None)
            registry_book.set_rules(connection, place, Rules(daily=how), deed, at_s)
        case "settings":
            registry_book.set_settings(connection, Settings(paused=text), deed, at_s)
        case "terms":
            term = Term(text, "word", "review", "sexual")
            registry_book.change_terms(connection, [term], [], deed, at_s)
        case "block":
            until_s = None if how % 2 else at_s
            registry_book.block(connection, person, Block(until_s, text), deed, at_s)
        case "unblock":
            registry_book.unblock(connection, person, deed, at_s)
        case _:
            _do_more(connection, what, who, how, at_s)


def _do_more(connection: Connection, what: str, who: int, how: int, at_s: float) -> None:
    person, text = make_person(who), TEXTS[how]
    venue = make_job(guild_id=who or None).origin.venue
    deed = Deed("report", person.id, HOME, venue.community, text, text)
    finding = Finding("review", "sexual", text, "prompt")
    jobs = book.find(connection, limit=100)
    job_id = jobs[how % len(jobs)].job.id if jobs else None
    case = Case(
        f"case {at_s}", "reported", "open", person, venue, job_id, text, (finding,), at_s=at_s
    )
    notices = book.notices(connection, HOME, limit=10)
    match what:
        case "case":
            registry_book.open_case(connection, case, at_s)
        case "report":
            registry_book.report(connection, case, Report(make_person(how), text), deed, at_s)
        case "warn":
            registry_book.open_case(connection, case, at_s)
            registry_book.warn(connection, case.id, deed, say("Do not {x}.", x=text), at_s)
        case "told" if notices:
            registry_book.told(connection, notices[-1])  # so that its number is given no more
        case "order" if job_id is not None:
            book.add_order(connection, job_id, "cancel", at_s)
        case "settle":
            for one in book.orders(connection)[:1]:
                book.settle(connection, one.id, Answer(text, bool(how)))
        case "delete pictures" if job_id is not None:
            book.delete_pictures(connection, job_id, text, at_s, deed=deed)
        case "erase":
            book_of = [one.job.id for one in privacy_book.to_erase(connection, person)]
            privacy_book.erase(connection, person, book_of, text, at_s)
        case "forget":
            over = book.outdated(connection, at_s, limit=2)
            book.forget(connection, over, at_s)
