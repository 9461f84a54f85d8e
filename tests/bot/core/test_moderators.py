"""Rules, the picture check and the moderators' desk, with a real ledger and a real gallery."""

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest

from bot.core import offspring, order
from bot.core.audit import Deed, first_broken
from bot.core.case import AtDesk, Case, DeskAct
from bot.core.desk_card import acts
from bot.core.job import Job, Record, Showing, State, Venue
from bot.core.options import read_lines
from bot.core.policy import Actor, Owner, Viewer
from bot.core.ports.registry import Settings
from bot.core.rules import Circumstances, Place, Rules
from bot.core.stage import Drawing, InReview
from bot.core.verdict import Term
from bot.errors import (
    AwayError,
    GalleryError,
    IllegalMoveError,
    JobRefusedError,
    NotAllowedError,
    UndeliveredError,
    UnknownJobError,
)
from sdxl_engine.errors import InvalidRequestError
from tests.bot.core.jobs import HOME, NOON_S, heard_of, make_job, make_person
from tests.bot.core.office import Office, OpenOffice
from tests.bot.core.test_studio import drawn, make, publish
from tests.fakes import FakePipeline, Gate

COMMUNITY, CHANNEL, DESK = "3", "2", "desk"
ELSEWHERE = Venue(HOME, "4", CHANNEL)


def actor(number: int, channel: str = CHANNEL, *, community: str = COMMUNITY, **may: bool) -> Actor:
    venue = Venue(HOME, community, channel)
    return Actor(
        make_person(number),
        moderates=venue if may.get("moderates") else None,
        manages=venue if may.get("manages") else None,
    )


MANAGER = actor(7, manages=True)
MODERATOR = actor(8, DESK, moderates=True)
OF_ANOTHER_CHANNEL = actor(9, CHANNEL, moderates=True)
OF_ANOTHER_COMMUNITY = actor(10, manages=True, community="4")
ANYBODY = actor(2)
NOT_THEIRS = [ANYBODY, OF_ANOTHER_CHANNEL, OF_ANOTHER_COMMUNITY]


def seeing(**scores: float) -> Callable[[], FakePipeline]:
    """A pipeline whose picture check sees so much of each category."""
    return partial(FakePipeline, checks=("skin", "gore"), scores={"skin": 0, "gore": 0, **scores})


async def at_desk(it: Office, count: int = 1) -> list[AtDesk]:
    """The cases that the desk shows, once there are so many."""
    await it.home.until(lambda: len(it.home.cases) >= count)
    return list(it.home.cases.values())


async def with_desk(it: Office) -> None:
    await it.moderators.set_desk(DESK, MANAGER)


async def held(it: Office, job: Job | None = None) -> tuple[Job, Case]:
    """A job that waits for a moderator."""
    await with_desk(it)
    job = job or make_job()
    await it.ask(job)

    def its_cases() -> list[Case]:
        return [one.case for one in it.home.cases.values() if one.case.job_id == job.id]

    await it.home.until(lambda: bool(its_cases()))
    assert await it.state(job) is State.REVIEW
    return job, its_cases()[0]


def again_with_other_words(record: Record) -> offspring.Offspring:
    return offspring.edited(record, ("a cat", None), read_lines(""), [(64, 64)])


async def make_elsewhere(it: Office, parent: Job) -> Job:
    """One of its pictures drawn larger for its own person, in another server."""
    new = make_job(guild_id=4)
    heard = heard_of(new, asked_at_s=NOON_S + 100 * it.home.arrivals)
    larger = partial(offspring.upscaled, index=0)
    return await it.studio.make(heard, parent.id, larger, private=False)


async def decide_reported(it: Office, job: Job, act: DeskAct) -> Case:
    """What a moderator decides at the desk about what somebody reported."""
    await with_desk(it)
    await it.moderators.report(job.id, Viewer(make_person(5), job.origin.venue), "")
    return await decide(it, job, act)


async def decide(it: Office, job: Job, act: DeskAct) -> Case:
    """What a moderator decides at the desk about a job, once it is shown there."""

    def its_cases() -> list[Case]:
        return [one.case for one in it.home.cases.values() if one.case.job_id == job.id]

    await it.home.until(lambda: bool(its_cases()))
    return await it.moderators.decide(its_cases()[0].id, act, MODERATOR)


def files_of(folder: Path, job: Job) -> list[Path]:
    return [path for path in folder.rglob(f"*{job.id}*") if path.is_file()]


async def kinds(it: Office) -> list[tuple[str, str, str]]:
    """What the audit holds, the oldest first."""
    entries = await it.registry.chain(0, limit=1000)
    assert first_broken(entries) is None
    return [(one.kind, one.actor, one.target) for one in entries]


# The picture check.


async def test_pictures_in_which_nothing_is_found_are_shown(office: OpenOffice) -> None:
    async with office(seeing(skin=0.49)) as it:
        await with_desk(it)
        job = await drawn(it)
        assert not (await it.ledger.get(job.id)).job.showing.spoiler
        assert not it.home.cases


async def test_what_is_doubtful_is_shown_blurred_and_to_the_moderators(office: OpenOffice) -> None:
    async with office(seeing(gore=0.5)) as it:
        await with_desk(it)
        job = await drawn(it)
        showing = (await it.ledger.get(job.id)).job.showing
        assert (showing.spoiler, showing.held) == (True, True)
        (one,) = await at_desk(it)
        assert (one.case.kind, one.case.findings[0].category) == ("blurred", "gore")
        assert len(it.home.at_desk[one.case.id]) == 4
        with pytest.raises(NotAllowedError):
            await it.studio.blur(job.id, actor(1), blurred=False)


async def test_what_is_not_shown_here_waits_for_a_moderator(office: OpenOffice) -> None:
    async with office(seeing(skin=0.9)) as it:
        job, case = await held(it)
        assert case.kind == "held"
        assert job.id not in it.home.delivered
        assert it.home.stages(job)[-1] == InReview()
        await it.moderators.decide(case.id, "approve", MODERATOR)
        await it.home.until(lambda: job.id in it.home.delivered)
        await it.until_state(job.id, State.DELIVERED)


async def test_where_there_is_no_desk_it_is_refused_and_nothing_of_it_is_kept(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office(seeing(skin=0.9)) as it:
        job = make_job()
        await it.ask(job)
        await it.home.until(lambda: job.id in it.home.told)
        assert "skin" in it.home.told[job.id]
        assert files_of(tmp_path, job) == []
        assert await it.state(job) is State.CANCELLED
        # Who tries again and again is counted: it is no fault of the bot's.
        assert ("refuse", "rules", job.id) in await kinds(it)


@pytest.mark.parametrize("scores", [None, {}])
async def test_without_a_verdict_there_is_no_picture(
    office: OpenOffice, tmp_path: Path, scores: dict[str, float] | None
) -> None:
    async with office(partial(FakePipeline, checks=("skin",), scores=scores)) as it:
        job = make_job()
        await it.ask(job)
        await it.home.until(lambda: job.id in it.home.told)
        assert "no verdict" in it.home.told[job.id]
        assert await it.state(job) is State.FAILED
        assert files_of(tmp_path, job) == []


@pytest.mark.parametrize("score", [math.nan, -0.1, 1.1, math.inf])
async def test_a_score_that_is_none_is_no_verdict(office: OpenOffice, score: float) -> None:
    async with office(seeing(skin=score)) as it:
        job = make_job()
        await it.ask(job)
        await it.home.until(lambda: job.id in it.home.told)
        assert job.id not in it.home.delivered


async def test_previews_are_shown_only_where_nothing_is_found(office: OpenOffice) -> None:
    for score, is_shown in ((0.1, True), (0.5, False), (0.9, False)):
        gate = Gate()
        make = partial(FakePipeline, checks=("skin",), scores={"skin": score}, gate=gate)
        async with office(make) as it:
            gate.open()
            job = make_job(steps=4)
            await it.ask(job)
            await it.home.until(partial(it.ended, job))
            stages = [one for one in it.home.stages(job) if isinstance(one, Drawing)]
            assert any(one.previews for one in stages) is is_shown


async def test_what_is_for_adults_is_no_concern_in_their_places(office: OpenOffice) -> None:
    async with office(seeing(skin=0.9)) as it:
        await it.moderators.set_rules(Place(CHANNEL), Rules(adult=True), MANAGER)
        job = make_job()
        await ask(it, job, Circumstances(adult=True))
        await it.home.until(lambda: it.ended(job))
        assert job.id in it.home.delivered
        other = make_job()
        await ask(it, other, Circumstances())
        await it.home.until(lambda: it.ended(other))
        assert other.id in it.home.told


async def ask(it: Office, job: Job, around: Circumstances) -> None:
    await it.studio.ask(heard_of(job, around), job.wish, showing=job.showing)


# The filter.


async def test_what_the_filter_blocks_is_refused_and_moderators_see_it(office: OpenOffice) -> None:
    async with office() as it:
        await with_desk(it)
        it.filter.terms.append(Term("nude", category="sexual"))
        job = make_job("a nude")
        with pytest.raises(JobRefusedError, match="sexual") as refused:
            await it.ask(job)
        assert "nude" not in str(refused.value)  # or the list could be read off the refusals
        (one,) = await at_desk(it)
        assert (one.case.kind, one.case.prompt, one.case.job_id) == ("refused", "a nude", None)
        *_, noted = await it.registry.chain(0, limit=1000)
        assert (noted.kind, noted.target, noted.reason) == ("refuse", job.person.id, "sexual")
        assert json.loads(noted.after) == {"case": one.case.id}
        assert not refused.value.repeatable
        with pytest.raises(IllegalMoveError):
            await it.moderators.decide(one.case.id, "approve", MODERATOR)


async def test_a_warned_prompt_is_drawn_and_moderators_see_it(office: OpenOffice) -> None:
    async with office() as it:
        await with_desk(it)
        it.filter.terms.append(Term("knife", measure="warn"))
        job = await drawn(it, make_job("a knife"))
        (one,) = await at_desk(it)
        assert (one.case.kind, one.case.job_id) == ("warned", job.id)
        await it.home.until(lambda: len(it.home.at_desk[one.case.id]) == 4)


async def test_a_draft_that_others_would_see_reviewed_is_told_to_moderators(
    office: OpenOffice,
) -> None:
    async with office() as it:
        await with_desk(it)
        it.filter.terms.append(Term("knife", measure="review"))
        draft = replace(make_job("a knife"), showing=Showing(private=True))
        await drawn(it, draft)
        (one,) = await at_desk(it)
        assert (one.case.kind, one.case.job_id) == ("warned", draft.id)


async def test_a_warned_prompt_whose_pictures_are_held_shows_them_to_moderators(
    office: OpenOffice,
) -> None:
    gate = Gate()
    pipeline = partial(FakePipeline, checks=("skin",), scores={"skin": 0.9}, gate=gate)
    async with office(pipeline) as it:
        await with_desk(it)
        it.filter.terms.append(Term("knife", measure="warn"))
        await it.ask(make_job("a knife"))
        (warned,) = await at_desk(it)
        assert not it.home.at_desk[warned.case.id]
        gate.open()
        await at_desk(it, 2)
        await it.home.until(lambda: len(it.home.at_desk[warned.case.id]) == 4)


async def test_who_decides_about_what_goes_in_that_moment_is_told_so(
    office: OpenOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    async with office(partial(FakePipeline, gate=gate)) as it:
        await with_desk(it)
        it.filter.terms.append(Term("knife", measure="warn"))
        await it.ask(make_job("a knife"))
        (one,) = await at_desk(it)
        get = it.ledger.get

        async def cancelled_since(job_id: str) -> Record:
            monkeypatch.undo()
            record = await get(job_id)
            await it.studio.cancel(job_id, Owner())
            return record

        monkeypatch.setattr(it.ledger, "get", cancelled_since)
        with pytest.raises(IllegalMoveError, match="are deleted"):
            await it.moderators.decide(one.case.id, "approve", MODERATOR)
        assert "approve" not in [kind for kind, _, _ in await kinds(it)]
        gate.open()


async def test_a_warned_prompt_of_which_nothing_is_drawn_is_decided(office: OpenOffice) -> None:
    gate = Gate()
    async with office(partial(FakePipeline, gate=gate)) as it:
        await with_desk(it)
        it.filter.terms.append(Term("knife", measure="warn"))
        job = make_job("a knife")
        await it.ask(job)
        (one,) = await at_desk(it)
        await it.studio.cancel(job.id, actor(1))
        await it.home.until(lambda: it.home.cases[one.case.id].case.state == "deleted")
        gate.open()


async def test_a_prompt_to_be_reviewed_waits_or_is_refused_without_a_desk(
    office: OpenOffice,
) -> None:
    async with office() as it:
        it.filter.terms.append(Term("blood", measure="review", category="gore"))
        with pytest.raises(JobRefusedError, match="no place for that"):
            await it.ask(make_job("blood"))
        _, case = await held(it, make_job("blood"))
        assert [one.rule for one in case.findings] == ["blood"]


async def test_the_negative_prompt_and_a_communitys_own_terms_are_read(office: OpenOffice) -> None:
    async with office() as it:
        assert await it.moderators.change_terms([Term("zonk")], [], MANAGER) == 1
        job = make_job()
        with pytest.raises(JobRefusedError):
            await it.ask(replace(job, wish=replace(job.wish, negative_prompt="zonk")))
        assert await it.moderators.change_terms([], ["zonk"], MANAGER) == 0
        await drawn(it, replace(job, wish=replace(job.wish, negative_prompt="zonk")))
        with pytest.raises(InvalidRequestError):
            await it.moderators.change_terms([Term("z")], [], MANAGER)
        with pytest.raises(UnknownJobError, match="no term “zonk” in the list here"):
            await it.moderators.change_terms([], ["zonk"], MANAGER)


# Rules.


async def test_what_is_barred_is_refused_before_anything_is_kept(office: OpenOffice) -> None:
    async with office() as it:
        await it.moderators.set_rules(Place(CHANNEL), Rules(use=False), MANAGER)
        with pytest.raises(JobRefusedError, match="may not be used in this channel"):
            await it.ask(make_job())
        with pytest.raises(JobRefusedError):
            await it.studio.check_limits(heard_of(make_job(), asked_at_s=NOON_S))
        await drawn(it, make_job(guild_id=4))  # another community's business


async def test_who_may_not_ask_in_a_channel_is_told_in_which_they_may(office: OpenOffice) -> None:
    async with office() as it:
        for place in (Place("art"), Place("staff", "r"), Place("foxes")):
            await it.moderators.set_rules(place, Rules(use=True), MANAGER)
        await it.moderators.set_rules(Place(), Rules(use=False), MANAGER)
        with pytest.raises(JobRefusedError, match=r"but in art and foxes\."):
            await it.ask(make_job())
        with pytest.raises(JobRefusedError, match=r"but in art and foxes and staff\."):
            await ask(it, make_job(), Circumstances(frozenset({"r"})))
        for number in range(4):
            await it.moderators.set_rules(Place(f"other {number}"), Rules(use=True), MANAGER)
        with pytest.raises(JobRefusedError, match="Ask a moderator where it may"):
            await it.ask(make_job())


async def test_a_pause_takes_nothing_in_and_lets_what_waits_be_drawn(office: OpenOffice) -> None:
    gate = Gate()
    async with office(partial(FakePipeline, gate=gate)) as it:
        waiting = make_job()
        await it.ask(waiting)
        await it.moderators.pause(MANAGER, "a raid")
        with pytest.raises(
            JobRefusedError, match=r"paused the bot here\. Their reason: “a raid”\."
        ):
            await it.ask(make_job())
        gate.open()
        await it.home.until(lambda: waiting.id in it.home.delivered)
        assert await it.moderators.pause(MANAGER, "") == "a raid"  # paused again, it is no other
        assert await it.moderators.pause(MANAGER, "lunch") == "lunch"
        await it.moderators.resume(MANAGER)
        await drawn(it)
        assert await it.moderators.pause(MANAGER, "") == ""


async def test_a_community_keeps_jobs_for_fewer_days_and_never_for_more(
    office: OpenOffice,
) -> None:
    async with office() as it:
        for days in (1, 31):
            with pytest.raises(JobRefusedError, match="days"):
                await it.moderators.set_keep_days(days, MANAGER)
        with pytest.raises(JobRefusedError, match="owner keeps jobs for 30 days"):
            await it.moderators.set_keep_days(90, MANAGER)
        await it.moderators.set_keep_days(30, MANAGER)
        house = await it.moderators.house(MANAGER)
        assert order.kept(house, 30) == "Jobs are kept for 30 days."
        # Where the owner keeps them for fewer since then, that holds.
        assert order.kept(house, 9) == "Jobs are kept for 9 days, as the bot's owner has it."


async def test_a_days_quota_is_the_communitys_own(office: OpenOffice) -> None:
    async with office() as it:
        await it.moderators.set_rules(Place(), Rules(daily=1), MANAGER)
        await drawn(it)
        with pytest.raises(JobRefusedError, match="1 time here within a day") as refused:
            await it.ask(make_job())
        assert refused.value.again_at_s == NOON_S + 86_400
        await drawn(it, make_job(user_id=2))
        await drawn(it, make_job(guild_id=4))
        await it.moderators.set_rules(Place(role="trusted"), Rules(daily=0), MANAGER)
        free = make_job()
        await ask(it, free, Circumstances(frozenset({"trusted"})))
        await it.home.until(lambda: free.id in it.home.delivered)


async def test_private_places_publish_nothing(office: OpenOffice) -> None:
    async with office() as it:
        await it.moderators.set_rules(Place(), Rules(private=True), MANAGER)
        with pytest.raises(JobRefusedError, match="alone"):
            await it.ask(make_job())
        assert await it.studio.shows_privately(make_job().origin.venue, Circumstances())
        draft = await drawn(it, replace(make_job(), showing=Showing(private=True)))
        with pytest.raises(JobRefusedError, match="alone"):
            await publish(it, draft)


async def test_what_is_always_blurred_cannot_be_unblurred(office: OpenOffice) -> None:
    async with office() as it:
        await it.moderators.set_rules(Place(), Rules(spoiler=True), MANAGER)
        job = await drawn(it)
        assert (await it.ledger.get(job.id)).job.showing.spoiler
        with pytest.raises(NotAllowedError):
            await it.studio.blur(job.id, actor(1), blurred=False)


async def test_review_comes_before_publishing_and_not_before_drafts(office: OpenOffice) -> None:
    async with office() as it:
        await with_desk(it)
        await it.moderators.set_rules(Place(), Rules(review=True), MANAGER)
        draft = await drawn(it, replace(make_job(), showing=Showing(private=True)))
        shown = await publish(it, draft)
        (one,) = await at_desk(it)
        assert await it.state(shown) is State.REVIEW
        assert one.case.job_id == shown.id
        await it.moderators.decide(one.case.id, "blur", MODERATOR)
        await it.home.until(lambda: shown.id in it.home.delivered)
        assert (await it.ledger.get(shown.id)).job.showing.spoiler


@pytest.mark.parametrize("by", NOT_THEIRS)
async def test_only_managers_say_what_holds(office: OpenOffice, by: Actor) -> None:
    async with office() as it:
        moderators = it.moderators
        if by.manages is not None:  # of another community: it says something there, and not here
            await moderators.set_rules(Place(), Rules(count=1), by)
            await drawn(it)
            return
        for act in (
            lambda: moderators.set_rules(Place(), Rules(count=1), by),
            lambda: moderators.set_desk(DESK, by),
            lambda: moderators.set_keep_days(5, by),
            lambda: moderators.set_keep_days(90, by),
            lambda: moderators.pause(by, ""),
            lambda: moderators.resume(by),
            lambda: moderators.change_terms([Term("word")], [], by),
            lambda: moderators.audit(by, limit=1),
            lambda: moderators.exported(by, limit=1),
            lambda: moderators.house(by),
        ):
            with pytest.raises(NotAllowedError):
                await act()
        assert await kinds(it) == []


async def test_rules_that_lock_everybody_out_are_refused(office: OpenOffice) -> None:
    async with office() as it:
        with pytest.raises(JobRefusedError, match="nobody could ask"):
            await it.moderators.set_rules(Place(), Rules(use=False), MANAGER)
        await it.moderators.set_rules(Place(CHANNEL), Rules(use=True), MANAGER)
        await it.moderators.set_rules(Place(), Rules(use=False), MANAGER)
        with pytest.raises(JobRefusedError, match="nobody could ask"):
            await it.moderators.set_rules(Place(CHANNEL), Rules(), MANAGER, take_back=["use"])
        await with_desk(it)
        await it.moderators.set_rules(Place(), Rules(review=True), MANAGER)
        await it.moderators.set_rules(Place(CHANNEL, "r"), Rules(review=True), MANAGER)
        with pytest.raises(JobRefusedError, match="a rule for: this server and r in 2"):
            await it.moderators.set_desk(None, MANAGER)
        assert (await it.moderators.house(MANAGER)).desk == DESK


async def test_what_was_said_holds_after_a_restart(office: OpenOffice) -> None:
    async with office() as it:
        said = Rules(True, 2, (512, 512), ("doodle",), ("a", "b"), 9, False, True, None, True)
        await it.moderators.set_rules(Place(CHANNEL, "r"), said, MANAGER)
        await it.moderators.change_terms([Term("zonk", "regex", "warn", "noise")], [], MANAGER)
        await it.moderators.set_desk(DESK, MANAGER)
        before = await it.moderators.house(MANAGER)
    async with office() as it:
        assert await it.moderators.house(MANAGER) == before
        assert before.rules == {Place(CHANNEL, "r"): said}


# Blocks.


async def test_who_is_blocked_asks_for_nothing_and_what_they_have_waiting_is_cancelled(
    office: OpenOffice,
) -> None:
    gate = Gate()
    async with office(partial(FakePipeline, gate=gate)) as it:
        drawing, waiting, others = make_job(), make_job(), make_job(user_id=2)
        for job in (drawing, waiting, others):
            await it.ask(job)
        assert await it.moderators.block(make_person(), MANAGER, reason="spam")
        assert not await it.moderators.block(make_person(), MANAGER, reason="spam")
        assert await it.moderators.block(make_person(), MANAGER, reason="more spam")
        await it.home.until(lambda: {drawing.id, waiting.id} <= it.home.told.keys())
        with pytest.raises(JobRefusedError, match=r"blocked you\. Their reason: “more spam”\."):
            await it.ask(make_job())
        gate.open()
        await it.home.until(lambda: others.id in it.home.delivered)
        await drawn(it, make_job(guild_id=4))
        assert await it.moderators.unblock(make_person(), MANAGER)
        assert not await it.moderators.unblock(make_person(), MANAGER)
        await drawn(it)
        done = [kind for kind, _, _ in await kinds(it)]
        assert done == ["block", "cancel", "cancel", "block", "unblock"]


async def test_a_block_for_a_while_ends_by_itself(office: OpenOffice) -> None:
    async with office() as it:
        await it.moderators.block(make_person(), MANAGER, for_s=1.0)
        with pytest.raises(JobRefusedError, match="It ends"):
            await it.ask(make_job(asked_at_s=0.0))
        await drawn(it, make_job(asked_at_s=NOON_S * 2))


async def test_nobody_blocks_themselves(office: OpenOffice) -> None:
    async with office() as it:
        with pytest.raises(NotAllowedError):
            await it.moderators.block(MANAGER.person, MANAGER)


# The desk.


@pytest.mark.parametrize("by", NOT_THEIRS)
async def test_only_those_of_the_desk_decide(office: OpenOffice, by: Actor) -> None:
    async with office(seeing(skin=0.9)) as it:
        job, case = await held(it)
        before = await kinds(it)
        for act in get_args(DeskAct):
            with pytest.raises(NotAllowedError):
                await it.moderators.decide(case.id, act, by)
        assert await it.state(job) is State.REVIEW
        assert await kinds(it) == before


async def test_deciding_again_changes_nothing(office: OpenOffice) -> None:
    async with office(seeing(skin=0.9)) as it:
        job, case = await held(it)
        for _ in range(2):
            await it.moderators.decide(case.id, "approve", MODERATOR)
        await it.home.until(lambda: job.id in it.home.delivered)
        assert [kind for kind, _, _ in await kinds(it)] == ["desk", "hold", "approve"]
        for _ in range(2):
            await it.moderators.decide(case.id, "delete", MANAGER)
        assert [kind for kind, _, _ in await kinds(it)] == ["desk", "hold", "approve", "delete"]
        acts: tuple[DeskAct, ...] = ("approve", "blur")
        for act in acts:
            with pytest.raises(IllegalMoveError, match="nothing is left"):
                await it.moderators.decide(case.id, act, MODERATOR)


async def test_what_is_not_approved_is_never_shown_and_is_gone(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office(seeing(skin=0.9)) as it:
        job, case = await held(it)
        assert files_of(tmp_path, job)
        decided = await it.moderators.decide(case.id, "delete", MODERATOR, "no")
        assert decided.state == "deleted"
        await it.home.until(lambda: job.id in it.home.told)
        assert "did not approve" in it.home.told[job.id]
        assert files_of(tmp_path, job) == []
        await it.home.until(lambda: it.home.cases[case.id].case.state == "deleted")
        assert it.home.at_desk[case.id] == ()


async def test_what_waits_for_a_moderator_is_seen_by_nobody_meanwhile(office: OpenOffice) -> None:
    async with office(seeing(skin=0.9)) as it:
        draft = replace(make_job(), showing=Showing(private=True))
        for job in (make_job(), draft):
            await held(it, job) if not it.home.cases else await it.ask(job)
            await it.until_state(job.id, State.REVIEW)
            viewer = Viewer(job.person, job.origin.venue)
            for look in (
                lambda job=job, by=viewer: it.studio.record(job.id, by),
                lambda job=job, by=viewer: it.studio.picture(job.id, 0, by),
                lambda job=job, by=viewer: it.studio.lineage(job.id, by),
                lambda job=job, by=viewer: it.studio.like(by, job.id, 0, liked=True),
                lambda job=job: make(it, job, offspring.rerolled),
            ):
                with pytest.raises(NotAllowedError, match="A moderator looks"):
                    await look()
            with pytest.raises(NotAllowedError, match="A moderator looks"):
                await publish(it, job)
            page = await it.studio.page(viewer, "drawn", 0, size=9)
            assert page.pictures == ()


async def test_who_asked_may_take_back_what_waits_for_a_moderator(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office(seeing(skin=0.9)) as it:
        job, case = await held(it)
        await it.studio.cancel(job.id, actor(1))
        assert files_of(tmp_path, job) == []
        await it.home.until(lambda: it.home.cases[case.id].case.state == "deleted")
        with pytest.raises(IllegalMoveError):
            await it.moderators.decide(case.id, "approve", MODERATOR)


async def test_what_is_shown_blurred_is_unblurred_by_approval(office: OpenOffice) -> None:
    async with office(seeing(skin=0.6)) as it:
        await with_desk(it)
        job = await drawn(it)
        (one,) = await at_desk(it)
        await it.moderators.decide(one.case.id, "approve", MODERATOR)
        await it.home.until(lambda: bool(it.home.amended))
        assert it.home.amended[-1].job.id == job.id
        assert not it.home.amended[-1].job.showing.spoiler
        await it.moderators.decide(one.case.id, "blur", MODERATOR)
        await it.home.until(lambda: it.home.amended[-1].job.showing.held)


async def test_what_is_approved_on_its_way_is_unblurred_once_it_is_there(
    office: OpenOffice,
) -> None:
    async with office(seeing(skin=0.6)) as it:
        await with_desk(it)
        it.home.deliveries_open.clear()
        job = make_job()
        await it.ask(job)
        await it.home.until(lambda: it.home.arrivals == 1)
        (one,) = await at_desk(it)
        await it.moderators.decide(one.case.id, "approve", MODERATOR)
        await it.home.until(lambda: it.home.cases[one.case.id].case.state == "approved")
        assert it.home.amended == []
        it.home.deliveries_open.set()
        await it.home.until(lambda: bool(it.home.amended))
        assert not it.home.amended[-1].job.showing.spoiler


async def test_a_warning_reaches_the_person_once_for_each_reason(office: OpenOffice) -> None:
    async with office(seeing(skin=0.9)) as it:
        job, case = await held(it)
        for reason, warned in (("be kind", 1), ("be kind", 1), ("once more", 2)):
            decided = await it.moderators.decide(case.id, "warn", MODERATOR, reason)
            assert decided.warned == warned
        await it.home.until(lambda: len(it.home.notices) == 2)
        assert it.home.notices[0].to == job.person
        assert "Their reason: “be kind”." in it.home.notices[0].sentence


async def test_a_block_from_the_desk_shows_on_all_of_their_cases(office: OpenOffice) -> None:
    async with office(seeing(skin=0.6)) as it:
        await with_desk(it)
        await drawn(it)
        await drawn(it)
        one, other = await at_desk(it, 2)
        await it.moderators.decide(one.case.id, "block", MODERATOR)
        await it.home.until(lambda: all(c.case.block for c in it.home.cases.values()))
        await it.moderators.decide(other.case.id, "unblock", MODERATOR)
        await it.home.until(lambda: not any(c.case.block for c in it.home.cases.values()))


async def test_a_report_comes_to_the_desk_once_a_person(office: OpenOffice) -> None:
    async with office() as it:
        job = await drawn(it)
        venue = job.origin.venue
        with pytest.raises(JobRefusedError, match="Nobody takes reports"):
            await it.moderators.report(job.id, Viewer(make_person(2), venue), "")
        await with_desk(it)
        await it.moderators.report(job.id, Viewer(make_person(2), venue), "rude" * 200)
        with pytest.raises(JobRefusedError, match="reported this before"):
            await it.moderators.report(job.id, Viewer(make_person(2), venue), "again")
        await it.moderators.report(job.id, Viewer(make_person(3), venue), "")
        await it.home.until(lambda: [len(c.case.reports) for c in it.home.cases.values()] == [2])
        (one,) = await at_desk(it)
        assert len(one.case.reports[0].reason) == 300
        await it.moderators.decide(one.case.id, "approve", MODERATOR)
        assert (await it.registry.case(one.case.id)).state == "approved"
        with pytest.raises(NotAllowedError):
            await it.moderators.report(job.id, Viewer(make_person(2), ELSEWHERE), "")


async def test_nobody_reports_without_end(office: OpenOffice) -> None:
    async with office() as it:
        await with_desk(it)
        jobs = [await drawn(it) for _ in range(21)]
        viewer = Viewer(make_person(2), jobs[0].origin.venue)
        for job in jobs[:20]:
            await it.moderators.report(job.id, viewer, "")
        with pytest.raises(JobRefusedError, match="20 messages"):
            await it.moderators.report(jobs[20].id, viewer, "")


# A blur is one wherever the same is shown.


async def showing_of(it: Office, job: Job) -> Showing:
    return (await it.ledger.get(job.id)).job.showing


@pytest.mark.parametrize("at", ["desk", "card"])
async def test_a_moderators_blur_reaches_what_shows_the_same_and_is_taken_back_with_it(
    office: OpenOffice, at: str
) -> None:
    async with office() as it:
        draft = await drawn(it, replace(make_job(), showing=Showing(private=True)))
        shown, other = await publish(it, draft), await publish(it, draft, 1)
        larger = await make(it, shown, partial(offspring.upscaled, index=0), user_id=2)
        for job in (shown, other, larger):
            await it.until_state(job.id, State.DELIVERED)
        await it.studio.blur(other.id, actor(1), blurred=True)
        if at == "desk":
            case = await decide_reported(it, shown, "blur")
            assert case.state == "blurred"
        else:
            await it.studio.blur(shown.id, OF_ANOTHER_CHANNEL, blurred=True)
        for job in (draft, shown, other, larger):
            assert (await showing_of(it, job)).is_held
        later = await publish(it, draft, 0)
        await it.until_state(later.id, State.DELIVERED)
        assert (await showing_of(it, later)).is_held
        seen = {draft.id, other.id, larger.id}
        await it.home.until(lambda: seen <= {one.job.id for one in it.home.amended})
        # One of them was blurred for itself as well.
        await it.studio.blur(larger.id, OF_ANOTHER_CHANNEL, blurred=True)
        if at == "desk":
            await it.moderators.decide(case.id, "approve", MODERATOR)
        else:
            await it.studio.blur(shown.id, OF_ANOTHER_CHANNEL, blurred=False)
        blurred = [
            ((await showing_of(it, job)).spoiler, (await showing_of(it, job)).held)
            for job in (draft, shown, other, larger)
        ]
        assert blurred == [(False, False), (False, False), (True, False), (True, True)]
        await kinds(it)  # the audit is whole


async def test_a_moderators_blur_reaches_what_is_drawn_larger_meanwhile(office: OpenOffice) -> None:
    gate = Gate()
    async with office(partial(FakePipeline, gate=gate)) as it:
        gate.let_through(2)
        first = await drawn(it)
        larger = [
            await make(it, first, partial(offspring.upscaled, index=0), user_id=2) for _ in range(2)
        ]
        await it.until_state(larger[0].id, State.RUNNING)
        await decide_reported(it, first, "blur")
        gate.open()
        for job in larger:
            await it.until_state(job.id, State.DELIVERED)
            assert it.home.jobs[job.id].showing.is_held
            assert (await showing_of(it, job)).is_held


async def test_what_found_no_place_is_blurred_as_well(
    office: OpenOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office() as it:

        async def deliver(*_: object) -> None:
            raise UndeliveredError("It is gone.")

        with monkeypatch.context() as patch:
            patch.setattr(it.home, "deliver", deliver)
            job = make_job()
            await it.ask(job)
            await it.until_state(job.id, State.UNDELIVERED)
        assert (await decide_reported(it, job, "blur")).state == "blurred"
        assert (await showing_of(it, job)).is_held
        larger = await make(it, job, partial(offspring.upscaled, index=0), user_id=2)
        assert larger.showing.is_held
        assert it.home.amended == []


async def test_who_asked_does_not_undo_a_blur_that_came_in_that_moment(
    office: OpenOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office() as it:
        job = await drawn(it)
        await it.studio.blur(job.id, actor(1), blurred=True)
        show_as = it.ledger.show_as

        async def late(*args: Any, **more: Any) -> Record:
            monkeypatch.undo()
            await decide_reported(it, job, "blur")
            return await show_as(*args, **more)

        monkeypatch.setattr(it.ledger, "show_as", late)
        with pytest.raises(NotAllowedError, match="only a moderator can unblur"):
            await it.studio.blur(job.id, actor(1), blurred=False)
        assert (await showing_of(it, job)).is_held


async def test_a_moderator_has_the_last_word_about_what_changed_in_that_moment(
    office: OpenOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office() as it:
        job = await drawn(it)
        show_as = it.ledger.show_as

        async def late(*args: Any, **more: Any) -> Record:
            monkeypatch.undo()
            await it.studio.blur(job.id, actor(1), blurred=True)
            return await show_as(*args, **more)

        monkeypatch.setattr(it.ledger, "show_as", late)
        assert (await decide_reported(it, job, "blur")).state == "blurred"
        assert (await showing_of(it, job)).is_held


# Deleting means deleting.


async def test_a_deletion_takes_what_shows_the_same_and_what_starts_from_it(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office() as it:
        await with_desk(it)
        draft = await drawn(it, replace(make_job(), showing=Showing(private=True)))
        shown = await publish(it, draft)
        await it.until_state(shown.id, State.DELIVERED)
        larger = await make(it, shown, partial(offspring.upscaled, index=0))
        begun = await make(
            it,
            shown,
            partial(
                offspring.begun,
                index=1,
                prompts=("a dog", None),
                settings=read_lines(""),
                sizes=it.studio.sizes,
            ),
        )
        for job in (larger, begun):
            await it.until_state(job.id, State.DELIVERED)
        await it.moderators.report(shown.id, Viewer(make_person(2), shown.origin.venue), "")
        (one,) = await at_desk(it)
        await it.moderators.decide(one.case.id, "delete", MODERATOR)
        for job in (draft, shown, larger):
            assert files_of(tmp_path, job) == []
            assert (await it.ledger.get(job.id)).deleted is not None
        # Another picture stays; what it was drawn from does not.
        assert (await it.ledger.get(begun.id)).deleted is None
        assert not (tmp_path / "images" / ".brought" / begun.id).exists()
        await it.home.until(lambda: {r.job.id for r in it.home.amended} >= {draft.id, larger.id})


async def test_a_deletion_that_broke_off_is_done_by_the_next(
    office: OpenOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office() as it:
        await with_desk(it)
        draft = await drawn(it, replace(make_job(), showing=Showing(private=True)))
        shown = await publish(it, draft)
        await it.until_state(shown.id, State.DELIVERED)
        await it.moderators.report(shown.id, Viewer(make_person(2), shown.origin.venue), "")
        (one,) = await at_desk(it)
        forget = it.gallery.forget

        async def forget_all_but_the_draft(job_ids: Sequence[str]) -> None:
            if draft.id in job_ids:
                raise GalleryError("The process ended.")
            await forget(job_ids)

        monkeypatch.setattr(it.gallery, "forget", forget_all_but_the_draft)
        with pytest.raises(GalleryError):
            await it.moderators.decide(one.case.id, "delete", MODERATOR)
        monkeypatch.undo()
        await it.moderators.decide(one.case.id, "delete", MODERATOR)
        for job in (draft, shown):
            assert files_of(tmp_path, job) == []
            assert (await it.ledger.get(job.id)).deleted is not None


async def test_a_job_that_is_cancelled_leaves_no_file_of_a_try_that_broke_off(
    office: OpenOffice, tmp_path: Path
) -> None:
    gate = Gate()
    async with office(partial(FakePipeline, gate=gate)) as it:
        job = make_job()
        await it.ask(job)
        left = tmp_path / "images" / job.id / f"{job.id}_0.png"
        left.parent.mkdir(parents=True)
        left.write_bytes(b"drawn, and never noted")
        await it.studio.cancel(job.id, actor(1))
        await it.until_told(job.id)
        assert files_of(tmp_path, job) == []
        gate.open()


async def test_a_held_job_that_was_cancelled_in_the_last_moment_is_gone_after_the_next_start(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office(seeing(skin=0.9)) as it:
        job, _ = await held(it)
        await it.ledger.move(job.id, State.CANCELLED, reason="Cancelled.")
    async with office(seeing(skin=0.9)) as it:
        await it.until_told(job.id)
        assert files_of(tmp_path, job) == []


async def test_what_was_deleted_by_who_asked_can_be_deleted_with_all_that_shows_it(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office() as it:
        await with_desk(it)
        draft = await drawn(it, replace(make_job(), showing=Showing(private=True)))
        shown = await publish(it, draft)
        await it.until_state(shown.id, State.DELIVERED)
        await it.moderators.report(shown.id, Viewer(make_person(2), shown.origin.venue), "")
        (one,) = await at_desk(it)
        await it.studio.delete(shown.id, actor(1))
        await it.home.until(lambda: it.home.cases[one.case.id].case.state == "deleted")
        assert files_of(tmp_path, draft)
        assert "delete" in acts(it.home.cases[one.case.id])
        await it.moderators.decide(one.case.id, "delete", MODERATOR)
        assert files_of(tmp_path, draft) == []


async def test_nobody_elses_picture_goes_with_one_made_of_it(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office() as it:
        mine = await drawn(it)
        larger = await make(it, mine, partial(offspring.upscaled, index=0), user_id=2)
        await it.until_state(larger.id, State.DELIVERED)
        await it.ledger.place(larger.id, "m2")
        await it.moderators.message_gone(HOME, "m2")
        assert files_of(tmp_path, larger) == []
        assert files_of(tmp_path, mine)


async def test_a_deletion_reaches_what_starts_from_the_picture_however_far(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office() as it:
        await with_desk(it)
        first = await drawn(it)
        begun = await make(
            it,
            first,
            partial(
                offspring.begun,
                index=1,
                prompts=("a dog", None),
                settings=read_lines(""),
                sizes=it.studio.sizes,
            ),
        )
        await it.until_state(begun.id, State.DELIVERED)
        again = await make(it, begun, offspring.rerolled)
        await it.until_state(again.id, State.DELIVERED)
        brought = tmp_path / "images" / ".brought"
        assert (brought / again.id).exists()
        await it.moderators.purge(MANAGER, person=first.person, within_s=1e10)
        assert not list(brought.rglob("*")) or not (brought / again.id).exists()
        assert not (brought / begun.id).exists()


async def private_draft(it: Office) -> Job:
    """A draft in a private conversation, which no moderator reaches."""
    return await drawn(it, replace(make_job(guild_id=None), showing=Showing(private=True)))


@pytest.mark.parametrize("state", [State.DELIVERED, State.REVIEW])
async def test_what_a_moderator_deleted_is_not_published_there_again(
    office: OpenOffice, state: State
) -> None:
    async with office() as it:
        draft = await private_draft(it)
        larger = await make(it, draft, partial(offspring.upscaled, index=0))
        await it.until_state(larger.id, State.DELIVERED)
        if state is State.REVIEW:
            await with_desk(it)
            await it.moderators.set_rules(Place(), Rules(review=True), MANAGER)
        shown = await publish(it, draft)
        await it.until_state(shown.id, state)
        await (decide if state is State.REVIEW else decide_reported)(it, shown, "delete")
        for again in (draft, larger):
            with pytest.raises(JobRefusedError, match="A moderator here deleted"):
                await publish(it, again, 0)
        await it.moderators.set_rules(Place(), Rules(), MANAGER, take_back=["review"])
        elsewhere = make_job(guild_id=4)
        await it.studio.publish(heard_of(elsewhere, asked_at_s=NOON_S), draft.id, 0)
        await it.until_state(elsewhere.id, State.DELIVERED)


async def test_what_starts_from_a_draft_elsewhere_keeps_no_copy_of_what_was_deleted(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office() as it:
        begun = partial(
            offspring.begun,
            index=0,
            prompts=("a dog", None),
            settings=read_lines(""),
            sizes=[(64, 64)],
        )
        draft = await private_draft(it)
        one = await make(it, draft, begun)
        shown = await publish(it, draft)
        await it.until_state(shown.id, State.DELIVERED)
        other = await make(it, shown, begun)
        for job in (one, other):
            await it.until_state(job.id, State.DELIVERED)
        await decide_reported(it, shown, "delete")
        brought = tmp_path / "images" / ".brought"
        assert not [job for job in (one, other) if (brought / job.id).exists()]


async def test_what_who_asked_deleted_can_be_published_one_by_one(office: OpenOffice) -> None:
    async with office() as it:
        draft = await private_draft(it)
        shown = await publish(it, draft)
        await it.until_state(shown.id, State.DELIVERED)
        await it.studio.delete(shown.id, actor(1))
        await it.until_state((await publish(it, draft, 0)).id, State.DELIVERED)


async def test_what_a_moderator_blurred_is_published_blurred_from_wherever(
    office: OpenOffice,
) -> None:
    async with office() as it:
        draft = await private_draft(it)
        shown = await publish(it, draft)
        await it.until_state(shown.id, State.DELIVERED)
        case = await decide_reported(it, shown, "blur")
        later = await publish(it, draft, 0)
        await it.until_state(later.id, State.DELIVERED)
        assert (await showing_of(it, later)).is_held
        await it.moderators.decide(case.id, "approve", MODERATOR)
        last = await publish(it, draft, 1)
        await it.until_state(last.id, State.DELIVERED)
        assert not (await showing_of(it, last)).spoiler


@pytest.mark.parametrize("of", [offspring.rerolled, again_with_other_words])
async def test_what_is_made_again_of_a_larger_one_goes_with_the_picture(
    office: OpenOffice, tmp_path: Path, of: Callable[[Record], offspring.Offspring]
) -> None:
    async with office() as it:
        first = await drawn(it)
        larger = await make(it, first, partial(offspring.upscaled, index=0))
        await it.until_state(larger.id, State.DELIVERED)
        again = await make(it, larger, of, user_id=2)
        await it.until_state(again.id, State.DELIVERED)
        anew = await make(it, first, of, user_id=2)
        await it.until_state(anew.id, State.DELIVERED)
        await decide_reported(it, first, "delete")
        for job in (first, larger, again):
            assert files_of(tmp_path, job) == []
            assert (await it.ledger.get(job.id)).deleted is not None
            assert not (tmp_path / "images" / ".brought" / job.id).exists()
        assert files_of(tmp_path, anew)  # from the same words


async def test_another_server_keeps_what_it_shows_and_draws_no_more_of_it(
    office: OpenOffice, tmp_path: Path
) -> None:
    gate = Gate()
    async with office(partial(FakePipeline, gate=gate)) as it:
        gate.let_through(4)
        first = await drawn(it)
        shown = await make_elsewhere(it, first)
        await it.until_state(shown.id, State.DELIVERED)
        waiting = await make_elsewhere(it, first)
        await decide_reported(it, first, "delete")
        await it.until_state(waiting.id, State.CANCELLED)
        assert (await it.ledger.get(shown.id)).deleted is None
        assert files_of(tmp_path, shown)
        brought = tmp_path / "images" / ".brought"
        assert not [one for one in (shown, waiting) if (brought / one.id).exists()]
        gate.open()


async def test_what_was_approved_and_lost_is_looked_at_again(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office() as it:
        await with_desk(it)
        await it.moderators.set_rules(Place(), Rules(review=True), MANAGER)
        job, case = await held(it)
        for path in files_of(tmp_path, job):
            path.unlink()
        await it.moderators.decide(case.id, "approve", MODERATOR)
        await at_desk(it, 2)
        assert await it.state(job) is State.REVIEW
        assert job.id not in it.home.delivered


async def test_what_is_for_adults_is_published_in_places_for_adults_alone(
    office: OpenOffice,
) -> None:
    async with office(seeing(skin=0.9)) as it:
        await it.moderators.set_rules(Place(CHANNEL), Rules(adult=True), MANAGER)
        draft = replace(make_job(), showing=Showing(private=True))
        await ask(it, draft, Circumstances(adult=True))
        await it.until_state(draft.id, State.DELIVERED)
        with pytest.raises(JobRefusedError, match="place for adults"):
            await publish(it, draft)
        new = make_job()
        heard = heard_of(new, Circumstances(adult=True), asked_at_s=NOON_S)
        await it.studio.publish(heard, draft.id, None)
        await it.until_state(new.id, State.DELIVERED)


async def test_a_desk_that_moves_shows_what_is_open(office: OpenOffice) -> None:
    async with office(seeing(skin=0.9)) as it:
        _, case = await held(it)
        it.home.cases.clear()
        await it.moderators.set_desk("another", MANAGER)
        (one,) = await at_desk(it)
        assert (one.case.id, one.desk, one.case.message) == (case.id, "another", None)
        await it.moderators.channel_gone(HOME, COMMUNITY, "another")
        assert (await it.moderators.house(MANAGER)).desk is None
        it.filter.terms.append(Term("blood", measure="review"))
        with pytest.raises(JobRefusedError, match="no place for that"):
            await it.ask(make_job("blood"))


async def test_two_managers_at_once_both_count(office: OpenOffice) -> None:
    async with office() as it:
        await asyncio.gather(
            it.moderators.pause(MANAGER, "a raid"),
            it.moderators.set_desk(DESK, MANAGER),
            it.moderators.set_rules(Place(), Rules(count=2), MANAGER),
            it.moderators.set_rules(Place(), Rules(daily=9), MANAGER),
        )
        house = await it.moderators.house(MANAGER)
        assert (house.paused, house.desk) == ("a raid", DESK)
        assert house.rules == {Place(): Rules(count=2, daily=9)}


async def test_what_was_deleted_in_the_home_itself_is_deleted_here(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office() as it:
        job = await drawn(it)
        await it.ledger.place(job.id, "m1")
        await it.moderators.message_gone(HOME, "nobody's")
        await it.moderators.message_gone("another home", "m1")
        assert files_of(tmp_path, job)
        for _ in range(2):
            await it.moderators.message_gone(HOME, "m1")
        assert files_of(tmp_path, job) == []
        assert (await it.ledger.get(job.id)).deleted == "Its message was deleted."
        assert await kinds(it) == [("delete", "elsewhere", job.id)]


async def test_a_channel_that_is_deleted_takes_all_of_its_pictures(
    office: OpenOffice, tmp_path: Path
) -> None:
    gate = Gate()
    async with office(partial(FakePipeline, gate=gate)) as it:
        gate.let_through(2)
        job = await drawn(it)
        drawing = make_job()
        await it.ask(drawing)
        await it.moderators.channel_gone(HOME, COMMUNITY, CHANNEL)
        assert files_of(tmp_path, job) == []
        await it.until_state(drawing.id, State.CANCELLED)
        gate.open()


async def test_a_purge_takes_what_somebody_asked_for_lately(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office() as it:
        mine, others = await drawn(it), await drawn(it, make_job(user_id=2))
        with pytest.raises(NotAllowedError):
            await it.moderators.purge(ANYBODY, person=make_person(), within_s=1e9)
        purge = partial(it.moderators.purge, MANAGER, person=make_person(), within_s=1e10)
        assert [await purge(), await purge()] == [1, 0]
        assert files_of(tmp_path, mine) == []
        assert files_of(tmp_path, others)


# What moderators do to others' jobs at their cards is written down, too.


async def test_acts_at_the_card_are_in_the_audit_but_ones_own(office: OpenOffice) -> None:
    async with office() as it:
        mine, other = await drawn(it), await drawn(it)
        await it.studio.blur(mine.id, actor(1), blurred=True)
        await it.studio.delete(mine.id, actor(1))
        await it.studio.blur(other.id, OF_ANOTHER_CHANNEL, blurred=True)
        await it.studio.delete(other.id, OF_ANOTHER_CHANNEL)
        assert await kinds(it) == [("blur", "9", other.id), ("delete", "9", other.id)]
        entries = await it.moderators.audit(MANAGER, limit=9)
        assert '"blurred":"held"' in entries[1].after


@pytest.mark.parametrize("by", [OF_ANOTHER_CHANNEL, Owner()])
async def test_what_somebody_else_deletes_at_the_card_is_gone_wherever_it_is_shown(
    office: OpenOffice, tmp_path: Path, by: Actor | Owner
) -> None:
    async with office() as it:
        draft = await drawn(it, replace(make_job(), showing=Showing(private=True)))
        shown = await publish(it, draft)
        await it.until_state(shown.id, State.DELIVERED)
        larger = await make(it, shown, partial(offspring.upscaled, index=0), user_id=2)
        await it.until_state(larger.id, State.DELIVERED)
        said = {(await it.studio.delete(shown.id, by)).deleted for _ in range(2)}
        who = "the bot's owner" if isinstance(by, Owner) else "a moderator"
        assert said == {f"Deleted by {who}."}
        for job in (draft, shown, larger):
            assert files_of(tmp_path, job) == []
            assert (await it.ledger.get(job.id)).deleted in said
        with pytest.raises(UnknownJobError):
            await publish(it, draft, 0)
        # The card that it was pressed at is changed by the press.
        await it.home.until(lambda: len(it.home.amended) == 2)
        assert {one.job.id for one in it.home.amended} == {draft.id, larger.id}
        assert [kind for kind, _, _ in await kinds(it)] == ["delete"] * 3


async def test_who_asked_deletes_these_pictures_alone(office: OpenOffice) -> None:
    async with office() as it:
        draft = await drawn(it, replace(make_job(), showing=Showing(private=True)))
        shown = await publish(it, draft)
        await it.until_state(shown.id, State.DELIVERED)
        await it.studio.delete(shown.id, actor(1, moderates=True))
        assert (await it.ledger.get(draft.id)).deleted is None
        assert await kinds(it) == []


async def test_a_moderator_who_shows_their_own_blurred_pictures_is_in_the_audit(
    office: OpenOffice,
) -> None:
    async with office(seeing(gore=0.5)) as it:
        job = await drawn(it)
        await it.studio.blur(job.id, actor(1, moderates=True), blurred=False)
        assert (await kinds(it))[-1] == ("unblur", "1", job.id)


# Whatever ends the process, and wherever the home is.


async def test_a_desk_that_cannot_be_reached_is_told_later(office: OpenOffice) -> None:
    async def at_once(_seconds: float) -> None:
        return

    async with office(seeing(skin=0.6), sleep=at_once) as it:
        it.home.away = [AwayError("away"), AwayError("away")]
        await with_desk(it)
        await drawn(it)
        assert len(await at_desk(it)) == 1


@pytest.mark.parametrize("away", [UndeliveredError("gone"), RuntimeError("what?")])
async def test_a_desk_that_is_gone_holds_nobody_up(office: OpenOffice, away: Exception) -> None:
    async with office(seeing(skin=0.6)) as it:
        it.home.away = [away]
        await with_desk(it)
        await drawn(it)
        await drawn(it)
        await at_desk(it)
        # Another desk is shown what none has seen.
        await it.moderators.set_desk("another", MANAGER)
        await at_desk(it, 2)


async def test_two_who_add_at_once_add_no_more_than_a_list_holds(
    office: OpenOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.core.moderators._MOST_TERMS", 3)
    async with office() as it:
        both = await asyncio.gather(
            *(
                it.moderators.change_terms([Term(f"{who} {nth}") for nth in range(2)], (), MANAGER)
                for who in ("ink", "wax")
            ),
            return_exceptions=True,
        )
        assert [type(one) for one in both] == [int, JobRefusedError]


async def test_no_desk_is_taken_away_from_what_waits_there(office: OpenOffice) -> None:
    async with office(seeing(skin=0.9)) as it:
        _, case = await held(it)
        with pytest.raises(JobRefusedError, match="1 job waits at the desk"):
            await it.moderators.set_desk(None, MANAGER)
        await it.moderators.decide(case.id, "delete", MODERATOR)
        await it.moderators.set_desk(None, MANAGER)
        assert (await it.registry.house(HOME, COMMUNITY)).desk is None


async def test_who_cannot_be_told_holds_no_desk_up(office: OpenOffice) -> None:
    async with office(seeing(skin=0.9)) as it:
        _, case = await held(it)
        it.home.untold = AwayError("their messages are closed")
        await it.moderators.decide(case.id, "warn", MODERATOR)
        await it.home.until(lambda: it.home.cases[case.id].case.warned == 1)
        await held(it)
        assert len(it.home.cases) == 2
        assert it.home.notices == []


async def test_one_case_that_cannot_be_shown_holds_no_other_up(office: OpenOffice) -> None:
    async with office(seeing(skin=0.9)) as it:
        _, first = await held(it)
        it.home.unshown = {first.id}
        await it.moderators.decide(first.id, "approve", MODERATOR)
        await held(it)
        assert it.home.cases[first.id].case.state == "open"


async def test_what_was_decided_before_the_end_is_done_after_it(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office(seeing(skin=0.9)) as it:
        job, case = await held(it)
    async with office(seeing(skin=0.9)) as it:
        assert it.home.stages(job) == [InReview()]
        assert await it.state(job) is State.REVIEW
        it.home.away = [AwayError("away")] * 1000  # until the process ends
        await it.moderators.decide(case.id, "approve", MODERATOR)
        await it.home.until(lambda: job.id in it.home.delivered)
        await it.until_state(job.id, State.DELIVERED)
        await it.moderators.decide(case.id, "delete", MODERATOR)
        assert not it.home.amended
    async with office(seeing(skin=0.9)) as it:
        await it.home.until(lambda: [one.job.id for one in it.home.amended] == [job.id])
        await it.home.until(lambda: case.id in it.home.cases)
        assert it.home.cases[case.id].case.state == "deleted"
        assert files_of(tmp_path, job) == []


async def test_the_clerk_brings_nothing_twice(office: OpenOffice) -> None:
    async with office(seeing(skin=0.9)) as it:
        _, case = await held(it)
        await it.moderators.decide(case.id, "warn", MODERATOR)
        await it.home.until(lambda: len(it.home.notices) == 1)
        while await it.registry.at_desks(HOME, limit=9):
            pass  # reading takes a thread's turn
    async with office(seeing(skin=0.9)) as it:
        job = make_job()
        await it.ask(job)
        await at_desk(it)
        assert len(it.home.cases) == 1
        assert case.id not in it.home.cases
        assert it.home.notices == []


async def test_what_another_bot_changed_meanwhile_stands(office: OpenOffice) -> None:
    async with office() as it:
        await it.moderators.house(MANAGER)  # this bot knows it by heart
        deed = Deed("keep", "9", HOME, COMMUNITY)
        await it.registry.set_settings(Settings(keep_days=5), deed)
        await it.moderators.pause(MANAGER, "a raid")
        await it.registry.change_terms([Term("zonk")], [], replace(deed, kind="terms"))
        place = Place(CHANNEL)
        await it.moderators.set_rules(place, Rules(count=1), MANAGER)
        await it.registry.set_rules(place, Rules(count=1, daily=3), replace(deed, kind="rules"))
        assert await it.moderators.set_rules(place, Rules(use=False), MANAGER) == Rules(
            use=False, count=1, daily=3
        )
        await it.registry.change_terms([Term("zink")], [], replace(deed, kind="terms"))
        assert await it.moderators.change_terms([Term("zank")], ["zonk"], MANAGER) == 2
        house = await it.registry.house(HOME, COMMUNITY)
        assert (house.keep_days, house.paused) == (5, "a raid")
        assert {one.text for one in house.terms} == {"zink", "zank"}
