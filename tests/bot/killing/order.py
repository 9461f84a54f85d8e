"""What those who keep order were promised, and whether it was kept, once all has come to rest."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from bot.core.audit import RULES, Entry, first_broken
from bot.core.case import AtDesk, Case
from bot.core.desk_card import desk_card
from bot.core.job import Record, State
from bot.homes.discord.desk_message import desk_layout
from bot.homes.discord.voice import Voice
from bot.languages.languages import shipped
from bot.ledgers import book
from bot.ledgers import registry_book as registry
from bot.shared.data_folder import IMAGES
from standins.discord.components import files_of, pressable, text_of
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from tests.bot.killing.crowd import Crowd, jobs_shown
from tests.bot.killing.moderators import DESK, Act, Moderators
from tests.bot.ledgers.databases import records_in

Message = dict[str, Any]

_MOST: Final = 1_000_000
_FILTERED: Final = "The filter here does not let this pass"
_BLOCKED: Final = "a moderator has blocked you"
_LINK: Final = "[Its message]"  # where its card is may be known only later
_SHOWN_BY: Final = frozenset({"approve", "blur", "unblur"})
# What each kind of act is in the audit; the rest is as it is called.
_ENTRIES: Final = {"veil": "blur", "strike": "delete"}


@dataclass
class Order:
    """What came of it.

    acts         of those who keep order, by kind, whose doer was told that it is done
    cases        put before the moderators
    entries      of the audit
    unapproved   pictures that anybody saw before they were approved: held ones, or doubtful ones
                 unblurred
    unshown      pictures that were approved, and that nobody can see
    undeleted    pictures that were deleted, and are there: in a channel or on the disk
    misplaced    cases that are not at the desk once each, and prompts refused without one
    outdated     cards at the desk that do not show what the ledger holds
    unwarned     warnings that were told twice, or never, or to nobody's knowledge
    misblocked   people who may ask and should not, or the reverse
    unwritten    acts that were done by what their doers were told, and are not in the audit once
    unchained    entries of the audit that are not as they were written, or may be changed unnoticed
    unanswered   acts in peace whose doer was told nothing
    """

    acts: Counter[str] = field(default_factory=Counter)
    cases: int = 0
    entries: int = 0
    unapproved: list[str] = field(default_factory=list)
    unshown: list[str] = field(default_factory=list)
    undeleted: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    unwarned: list[str] = field(default_factory=list)
    misblocked: list[str] = field(default_factory=list)
    unwritten: list[str] = field(default_factory=list)
    unchained: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """Every promise that was not kept."""
        return [f"{what}: {one}" for what, found in self._promises() for one in found]

    def __str__(self) -> str:
        promises = ", ".join(f"{what} {len(found)}" for what, found in self._promises())
        return (
            f"{self.cases} cases, {self.acts.total()} acts done {dict(self.acts)}, {self.entries} "
            f"entries in the audit; {promises}"
        )

    def _promises(self) -> Iterator[tuple[str, list[str]]]:
        for one in fields(self):
            found = getattr(self, one.name)
            if isinstance(found, list):
                yield one.name, found


@dataclass(frozen=True)
class Kept:
    """What the ledger holds of it all in the end."""

    records: dict[str, Record]
    cases: dict[str, Case]
    entries: list[Entry]
    blocked: frozenset[str]

    def of_job(self, job_id: str | None, kinds: frozenset[str]) -> list[Entry]:
        """What was done about a job, of these kinds."""
        return [one for one in self.entries if one.target == job_id and one.kind in kinds]


def kept_in(folder: Path) -> Kept:
    """Read the ledger."""
    with records_in(folder).reading() as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM jobs")]
        cases = [
            row[0] for row in connection.execute("SELECT id FROM cases WHERE home = 'discord'")
        ]
        blocked = connection.execute("SELECT person FROM blocks").fetchall()
        return Kept(
            {one: book.get(connection, one) for one in ids},
            {one: registry.get_case(connection, one) for one in cases},
            registry.chain(connection, 0, limit=_MOST),
            frozenset(one for (one,) in blocked),
        )


def is_told(folder: Path) -> bool:
    """Whether the clerk has brought everything to where it is to be seen."""
    with records_in(folder).reading() as connection:
        (left,) = connection.execute(
            "SELECT (SELECT count(*) FROM cases WHERE shown < version) "
            "+ (SELECT count(*) FROM jobs WHERE amend = 1) + (SELECT count(*) FROM notices)"
        ).fetchone()
    return not left


def order_of(
    loopback: LoopbackDiscord,
    crowd: Crowd,
    moderators: Moderators,
    in_peace: list[Act],
    last_asked: list[Interaction],
    folder: Path,
    chance: random.Random,
) -> Order:
    """Count the promises that were not kept.

    in_peace    what was done when nobody killed the bot any more
    last_asked  what each person asked for when nobody kept order any more
    """
    kept, order = kept_in(folder), Order()
    order.acts = Counter(one.kind for one in moderators.acts if one.is_done)
    order.cases, order.entries = len(kept.cases), len(kept.entries)
    order.unapproved = list(_unapproved(kept, crowd))
    order.unshown = list(_unshown(kept))
    order.undeleted = list(_undeleted(kept, loopback, folder))
    order.misplaced = list(_misplaced(kept, loopback, moderators, crowd))
    order.outdated = list(_outdated(kept, loopback, folder))
    order.unwarned = list(_unwarned(kept, loopback, moderators))
    order.misblocked = list(_misblocked(kept, last_asked))
    order.unwritten = list(_unwritten(kept, moderators))
    order.unchained = list(_unchained(kept, chance))
    order.unanswered = [f"{one.kind} {one.sent.id}" for one in in_peace if not one.is_answered]
    return order


def _unapproved(kept: Kept, crowd: Crowd) -> Iterator[str]:
    for held in kept.entries:
        if held.kind != "hold":
            continue
        is_held = '"state":"review"' in held.after
        seen_s = (crowd.seen_s if is_held else crowd.unblurred_s).get(held.target)
        decided = [one.at_s for one in kept.of_job(held.target, _SHOWN_BY)]
        if seen_s is not None and not any(at_s <= seen_s for at_s in decided):
            yield f"{held.target}, {'held' if is_held else 'doubtful'}"


def _unshown(kept: Kept) -> Iterator[str]:
    for case in kept.cases.values():
        if case.kind == "held" and case.state == "approved":
            record = kept.records[case.job_id or ""]
            if record.state is not State.DELIVERED and record.state is not State.CANCELLED:
                yield f"{case.job_id} {record.state}"


def _undeleted(kept: Kept, loopback: LoopbackDiscord, folder: Path) -> Iterator[str]:
    records = kept.records.items()
    cancelled = {job_id for job_id, one in records if one.state is State.CANCELLED}
    deleted = {job_id for job_id, one in records if one.deleted is not None}
    # What is pressed below a card itself changes that card, unless a kill cuts it off.
    by_desk = {one.target for one in kept.entries if one.kind == "delete" and one.reason}
    for channel_id in loopback.world.channels:
        for message in loopback.history(channel_id):
            found = jobs_shown(message) & (cancelled | (deleted & by_desk))
            where = f"{channel_id}/{message['id']}"
            yield from (f"{one} in {where}" for one in sorted(found))
    there = {path.name for path in (folder / IMAGES).iterdir()}
    yield from (f"{one} on the disk" for one in sorted(there & (cancelled | deleted)))


def _misplaced(
    kept: Kept, loopback: LoopbackDiscord, moderators: Moderators, crowd: Crowd
) -> Iterator[str]:
    # A channel keeps its last 500 messages: of one that is gone another may have taken the place.
    there = {int(one["id"]) for one in loopback.history(DESK)}
    ever = Counter(map(_case_of, moderators.cards.values()))
    now = Counter(_case_of(card) for number, card in moderators.cards.items() if number in there)
    for case in kept.cases:
        if not ever[case] or now[case] > 1:
            yield f"{case} stands there {now[case]} times, and stood there {ever[case]} times"
    refused = Counter(case.prompt for case in kept.cases.values() if case.kind == "refused")
    for asked in crowd.asked:
        said = [*asked.followups, *filter(None, [asked.answer])]
        prompt = crowd.prompts.get(asked.id)
        if prompt and any(_FILTERED in text_of(one) for one in said) and refused[prompt] != 1:
            yield f"{prompt} was refused, and has {refused[prompt]} cases"


def _outdated(kept: Kept, loopback: LoopbackDiscord, folder: Path) -> Iterator[str]:
    """Compare each card with the case as it would be shown now."""
    shown = {_case_of(message): message for message in loopback.history(DESK)}
    voice = Voice(shipped(), "en-US")
    for case in kept.cases.values():
        record = kept.records.get(case.job_id or "")
        one = AtDesk(case, str(DESK), record)
        view = desk_layout(desk_card(one, ()), one, voice)
        components: Any = view.to_components()  # type: ignore[no-untyped-call]  # discord.py's
        wanted = {"content": "", "components": components, "attachments": []}
        message = shown.get(case.id)
        if message is None:  # a channel keeps its last 500 messages; else `_misplaced` says so
            continue
        if _lines(message) != _lines(wanted):
            yield f"{case.id} says {_lines(message)}, and not {_lines(wanted)}"
        if _presses(message) != _presses(wanted):
            yield f"{case.id} ({case.kind}) has {_presses(message)}, and not {_presses(wanted)}"
        stored = () if record is None else record.images
        there = [
            one for one in stored if (folder / IMAGES / str(case.job_id) / one.filename).exists()
        ]
        # A deletion that a kill cut off has taken the files, and no more.
        if len(files_of(message)) not in {len(stored), len(there)}:
            yield f"{case.id} ({case.kind}) has {len(files_of(message))} pictures of {len(stored)}"


def _unwarned(kept: Kept, loopback: LoopbackDiscord, moderators: Moderators) -> Iterator[str]:
    people = [one for one in loopback.world.people.values() if not one.bot]
    told = {
        str(one.id): "\n".join(
            text_of(message) for message in loopback.history(loopback.world.direct_messages(one).id)
        )
        for one in people
    }
    warned = {one.reason: one.target for one in kept.entries if one.kind == "warn"}
    for act in moderators.acts:
        if act.kind == "warn":
            person = warned.get(act.reason)
            for one, text in told.items():
                if text.count(act.reason) != (one == person):
                    yield f"{act.reason} was told {one} {text.count(act.reason)} times"


def _misblocked(kept: Kept, last_asked: list[Interaction]) -> Iterator[str]:
    blocked = set[str]()
    for entry in kept.entries:
        if entry.kind == "block":
            blocked.add(entry.target)
        elif entry.kind == "unblock":
            blocked.discard(entry.target)
    if blocked != kept.blocked:
        yield f"{sorted(kept.blocked)} are blocked, and should be {sorted(blocked)}"
    for asked in last_asked:
        said = [*asked.followups, *filter(None, [asked.answer])]
        is_refused = any(_BLOCKED in text_of(one) for one in said)
        if is_refused != (str(asked.user_id) in blocked):
            yield f"{asked.user_id} is {'refused' if is_refused else 'not refused'}"


def _unwritten(kept: Kept, moderators: Moderators) -> Iterator[str]:
    # By a person: what the rules themselves refuse is said alike each time.
    deeds = [one for one in kept.entries if one.reason and one.actor != RULES]
    written = Counter((one.reason, one.kind, one.target) for one in deeds)
    yield from (f"{one} {count} times" for one, count in written.items() if count > 1)
    of_reason = {reason: (kind, target) for reason, kind, target in written}
    for act in moderators.acts:
        if act.is_done and not _is_written(kept, act, of_reason):
            yield f"{act.kind} of {act.about}, {act.reason}"


def _is_written(kept: Kept, act: Act, of_reason: dict[str, tuple[str, str]]) -> bool:
    """Whether the audit tells of it, or of another act that had come to the same before."""
    case = kept.cases.get(act.about)
    match act.kind:
        case "approve" | "veil":
            assert case is not None
            return bool(kept.of_job(case.job_id, _SHOWN_BY))
        case "strike":
            assert case is not None
            done = kept.of_job(case.job_id, frozenset({"delete", "cancel"}))
            return case.state == "deleted" and (bool(done) or case.decided is None)
        case "unblock":
            person = act.about if case is None else case.about.id
            kinds = [one.kind for one in kept.entries if one.target == person]
            return "block" not in kinds or "unblock" in kinds
        case "report":  # why is in the report, and not in the audit
            reasons = {one.reason for each in kept.cases.values() for one in each.reports}
            return act.reason in reasons
        case "resume":
            return any(one.kind == "resume" for one in kept.entries)
        case _:
            return act.reason in of_reason


def _unchained(kept: Kept, chance: random.Random) -> Iterator[str]:
    broken = first_broken(kept.entries)
    if broken is not None:
        yield f"{broken} is not as it was written"
    entry = chance.choice(kept.entries)
    column = chance.choice(["home", "actor", "kind", "target", "before", "after", "hash"])
    text = getattr(entry, column) or " "
    place = chance.randrange(len(text))
    changed = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]
    forged: dict[str, Any] = {column: changed}
    if (
        first_broken(replace(one, **forged) if one is entry else one for one in kept.entries)
        != entry.number
    ):
        yield f"nobody sees {column} of {entry.number} changed to {changed}"


def _case_of(message: Message) -> str:
    """The case that a card at the desk shows: it says so last."""
    return text_of(message).rpartition("case ")[2]


def _lines(message: Message) -> list[str]:
    return [one for one in text_of(message).splitlines() if not one.startswith(_LINK)]


def _presses(message: Message) -> list[str]:
    return [str(one["custom_id"]) for one in pressable(message)]
