"""What moderators see of a case, as data: pure functions of it and of its job.

A home renders it in its own markup, cuts what is too long, and makes what people typed harmless.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bot.core import card
from bot.core.audit import ELSEWHERE, OWNER, RULES
from bot.core.card import Date, Link, Moment, Slot
from bot.core.case import AtDesk, Block, Case, CaseKind, DeskAct
from bot.core.job import UNFINISHED, Record, State
from bot.core.ports.gallery import Picture
from bot.core.verdict import Finding
from bot.core.wish import Wish
from sdxl_engine.sentence import say, say_many, sentences

_MOST_FINDINGS: Final = 6
_MOST_REPORTS: Final = 8
_TITLES: Final[dict[CaseKind, str]] = {
    "refused": say("🛑 A prompt was refused"),
    "held": say("👀 Pictures wait for a moderator"),
    "blurred": say("🌫️ Pictures are shown blurred"),
    "warned": say("🔎 A prompt was drawn that you may want to see"),
    "reported": say("🚩 Pictures were reported"),
}
# Once somebody has decided otherwise.
_TITLES_AFTER: Final[dict[CaseKind, str]] = {
    "held": say("👀 Pictures waited for a moderator"),
    "blurred": say("🌫️ Pictures were shown blurred"),
}
_LABELS: Final[dict[DeskAct, str]] = {
    "approve": say("✅ Approve"),
    "blur": say("🌫️ Blur"),
    "delete": say("🗑️ Delete"),
    "warn": say("✉️ Warn"),
    "block": say("🚫 Block"),
    "unblock": say("↩️ Unblock"),
}
READ_BY: Final[dict[str, str]] = {
    "delete": say("The audit alone keeps it; the one who asked does not read it."),
    "warn": say("The one who is warned reads it; the audit keeps it."),
    "block": say("The one who is blocked reads it; the audit keeps it."),
    "report": say("Moderators read it; the one who asked does not."),
}
"""Who reads why something is done."""
_PLACES: Final[dict[str, str]] = {
    "prompt": say("in the prompt"),
    "prompt as typed": say("in the prompt"),
    "negative prompt": say("in what to stay away from"),
    "LoRAs": say("in the LoRAs"),
}
_PICTURE: Final = re.compile(r"picture (\d+)")
_GONE: Final = say("The pictures are there no more.")
_ERASED: Final = Wish("")
_SHOWN: Final = UNFINISHED | {State.DRAWN, State.DELIVERED}  # or may be later


@dataclass(frozen=True, slots=True)
class DeskButton:
    """Something that a moderator may press."""

    act: DeskAct
    label: str


@dataclass(frozen=True, slots=True)
class DeskCard:
    """The whole card.

    title     why moderators see it
    facts     who, where and when, a line each; with a `Link` or a `Moment` perhaps
    prompt    what was asked for: to be shown, never to be read as markup; empty once forgotten
    notes     what was found, what people reported, what was decided, a line each
    pictures  all of them blurred
    """

    title: str
    facts: tuple[str, ...]
    prompt: str
    notes: tuple[str, ...]
    pictures: tuple[Slot, ...]
    buttons: tuple[DeskButton, ...]


def desk_card(one: AtDesk, pictures: Sequence[Picture]) -> DeskCard:
    """A case as it stands now.

    pictures  small, of its job
    """
    case, record = one.case, one.record
    notes = (*_found(case), *_reported(case), *_decided(case))
    return DeskCard(
        title=_title(case),
        facts=tuple(_facts(case)),
        prompt=case.prompt,
        notes=notes,
        pictures=() if record is None else tuple(_slot(record, each) for each in pictures),
        buttons=tuple(DeskButton(act, _LABELS[act]) for act in acts(one)),
    )


def _title(case: Case) -> str:
    if case.state in {"open", case.kind}:
        return _TITLES[case.kind]
    return _TITLES_AFTER.get(case.kind, _TITLES[case.kind])


def acts(one: AtDesk) -> Iterator[DeskAct]:
    """What there is to be done about a case: nothing that is done already."""
    case, record = one.case, one.record
    if record is not None and record.deleted is None and case.state != "deleted":
        if case.state != "approved":
            yield "approve"
        if case.state != "blurred" and record.state in _SHOWN:
            yield "blur"
    # Whoever asked may have deleted this, and not what shows the same; erased, all of it is gone.
    if record is not None and (
        case.state != "deleted" or (case.decided is None and record.job.wish != _ERASED)
    ):
        yield "delete"
    yield "warn"
    yield "block" if case.block is None else "unblock"


def done(act: DeskAct, case: Case) -> str:
    """What a moderator reads who did something."""
    if act == "approve" and case.kind == "held":
        return say("Approved. The pictures are shown now.")
    who = case.about.id
    said: dict[DeskAct, str] = {
        "approve": say("Approved."),
        "blur": say("The pictures are blurred."),
        "delete": say("The pictures are deleted."),
        "warn": say("The bot tells {who} so.", who=Link("person", who)),
        "block": blocked(who),
        "unblock": unblocked(who),
    }
    return said[act]


def blocked(person: str, days: int | None = None) -> str:
    """What a moderator reads who blocked somebody; `person` is an id."""
    who = Link("person", person)
    if days is None:
        return say("{who} may not ask here any more, until a moderator unblocks them.", who=who)
    return say_many(
        "{who} may not ask here for {count} day.",
        "{who} may not ask here for {count} days.",
        days,
        who=who,
    )


def unblocked(person: str) -> str:
    """What a moderator reads who unblocked somebody; as `blocked`."""
    return say("{who} may ask here again.", who=Link("person", person))


def found(finding: Finding) -> str:
    """What a rule names, and where it is."""
    where: str = _PLACES.get(finding.where, finding.where)
    picture = _PICTURE.fullmatch(finding.where)
    if picture is not None:
        where = say("in picture {number}", number=int(picture[1]))
    return say(
        "{category}, {where}: {rule}", category=finding.category, where=where, rule=finding.rule
    )


def _facts(case: Case) -> Iterator[str]:
    about = case.about
    who, when = Link("person", about.id), Moment(int(case.at_s))
    if about.name:
        yield say(
            "Asked by {who} ({name}, {id}) {when}", who=who, name=about.name, id=about.id, when=when
        )
    else:  # erased
        yield say("Asked by {who} ({id}) {when}", who=who, id=about.id, when=when)
    if case.venue.channel is not None:
        yield say("In {channel}", channel=Link("channel", case.venue.channel))
    if case.job_id is not None:
        yield say("job {job}", job=case.job_id)


def _found(case: Case) -> Iterator[str]:
    yield from map(found, case.findings[:_MOST_FINDINGS])
    yield from _more(len(case.findings) - _MOST_FINDINGS)


def _reported(case: Case) -> Iterator[str]:
    for one in case.reports[:_MOST_REPORTS]:
        who = Link("person", one.by.id)
        if one.reason:
            yield say("Reported by {who}: {reason}", who=who, reason=one.reason)
        else:
            yield say("Reported by {who}", who=who)
    yield from _more(len(case.reports) - _MOST_REPORTS)


def _more(count: int) -> Iterator[str]:
    if count > 0:
        yield say_many("and {count} more", "and {count} more", count)


def _decided(case: Case) -> Iterator[str]:
    who = _whom(case.decided)
    match case.state:
        case "open" if case.kind != "refused":
            yield say("Nobody has decided yet.")
        case "approved":
            yield say("Approved by {who}.", who=who)
        case "blurred":
            yield say("Blurred by {who}.", who=who)
        case "deleted":
            yield _GONE if case.decided in {None, ELSEWHERE} else say("Deleted by {who}.", who=who)
    if case.warned:
        yield say_many("Warned {count} time.", "Warned {count} times.", case.warned)
    if case.block is not None:
        yield _barred(case.block)


def _barred(block: Block) -> str:
    # A block that is over says when: nobody has to come and change the card.
    until, reason = block.until_s, block.reason
    return sentences(
        say("Blocked from asking here.")
        if until is None
        else say("Blocked from asking here until {when}.", when=Date(int(until))),
        say("The reason: “{reason}”.", reason=reason) if reason else "",
    )


def _whom(actor: str | None) -> object:
    if actor == OWNER:
        return say("the bot's owner")
    return say("the rules here") if actor in {None, RULES, ELSEWHERE} else Link("person", actor)


def _slot(record: Record, picture: Picture) -> Slot:
    alt_text = card.alt_text(record.job.wish, picture.index)
    return Slot(picture.filename, alt_text, picture.data, spoiler=True)
