"""What people do with pictures that were drawn: more of them, larger ones, fewer."""

import io
import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.core import offspring
from bot.core.job import (
    Job,
    Parent,
    Person,
    Record,
    Showing,
    State,
    Venue,
    new_job_id,
)
from bot.core.offspring import Offspring
from bot.core.policy import NOT_SHOWN_TO_YOU, Actor, Limits, Viewer
from bot.errors import (
    IllegalMoveError,
    JobRefusedError,
    NotAllowedError,
    UnknownJobError,
)
from bot.operations.housekeeping import forget_unclaimed
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import Source
from tests.bot.core.jobs import NOON_S, file_of, heard_of, make_job, make_person
from tests.bot.core.office import Office, OpenOffice
from tests.fakes import FakePipeline, Gate

Of = Callable[[Record], Offspring]
_moments = itertools.count()


def seen_by(person: Person) -> Viewer:
    """They, in the place where everything is drawn."""
    return Viewer(person, make_job().origin.venue)


async def drawn(it: Office, job: Job | None = None) -> Job:
    """A job whose pictures were shown."""
    job = job or make_job()
    await it.ask(job)
    await it.home.until(lambda: job.id in it.home.delivered)
    await it.until_state(job.id, State.DELIVERED)
    return job


async def make(
    it: Office, parent: Job, of: Of, *, user_id: int = 1, asked_at_s: float | None = None
) -> Job:
    new = make_job(user_id=user_id)
    # Each a while after the other, or it would be taken for the same press.
    at_s = NOON_S + 10 * next(_moments) if asked_at_s is None else asked_at_s
    private = await it.studio.is_private(parent.id)
    return await it.studio.make(heard_of(new, asked_at_s=at_s), parent.id, of, private=private)


async def publish(it: Office, draft: Job, index: int | None = None, *, user_id: int = 1) -> Job:
    new = make_job(user_id=user_id)
    return await it.studio.publish(heard_of(new, asked_at_s=NOON_S), draft.id, index)


async def bring(it: Office, wish_of: Callable[[Source], Source] = lambda one: one) -> Job:
    """Ask for something that starts from a picture."""
    job = make_job()
    (source,) = await it.studio.bring(job.id, [file_of("red")])
    wish = replace(job.wish, source=offspring.source_fields(wish_of(source)))
    return await drawn(it, replace(job, wish=wish))


@pytest.mark.parametrize(
    ("of", "act", "index"),
    [
        (offspring.rerolled, "reroll", None),
        (partial(offspring.varied, index=2, how="subtle"), "vary", 2),
        (partial(offspring.upscaled, index=1), "upscale", 1),
    ],
)
async def test_anybody_may_have_more_made_of_what_everybody_sees(
    office: OpenOffice, of: Of, act: str, index: int | None
) -> None:
    pipeline = FakePipeline()
    async with office(lambda: pipeline) as it:
        parent = await drawn(it)
        child = await make(it, parent, of, user_id=2)
        await it.home.until(lambda: child.id in it.home.delivered)
        record = await it.ledger.get(child.id)
        line = await it.studio.lineage(child.id, seen_by(make_person(3)))
    assert record.job.parent == Parent(parent.id, act, index)  # type: ignore[arg-type]
    assert record.job.person == make_person(2)
    assert [one.job.id for one in line] == [child.id, parent.id]


async def test_what_is_upscaled_starts_from_the_very_picture(office: OpenOffice) -> None:
    pipeline = FakePipeline()
    async with office(lambda: pipeline) as it:
        parent = await drawn(it)
        child = await make(it, parent, partial(offspring.upscaled, index=3))
        await it.home.until(lambda: child.id in it.home.delivered)
        (large,) = it.home.delivered[child.id]
        picture = it.home.delivered[parent.id][3]
    (start,) = pipeline.pictures[1].values()
    with Image.open(io.BytesIO(picture.data)) as seen:
        assert seen.convert("RGBA").tobytes() == start.rgba
    with Image.open(io.BytesIO(large.data)) as seen:
        assert seen.size == (128, 128)


async def test_what_was_brought_lives_through_a_restart_and_is_handed_on(
    office: OpenOffice,
) -> None:
    gate, pipeline = Gate(), FakePipeline()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        job = make_job()
        (source,) = await it.studio.bring(job.id, [file_of("red")])
        wish = replace(job.wish, source=offspring.source_fields(source))
        await it.ask(replace(job, wish=wish))
    async with office(lambda: pipeline) as it:
        await it.home.until(lambda: job.id in it.home.delivered)
        await it.until_state(job.id, State.DELIVERED)
        child = await make(it, job, offspring.rerolled)
        await it.studio.delete(job.id, Actor(job.person))  # the child needs it no more
        await it.home.until(lambda: child.id in it.home.delivered)
        assert await it.gallery.starters() == (child.id,)
    assert [list(one) for one in pipeline.pictures] == [[source.picture]] * 2


async def test_two_presses_that_slipped_are_one_job(office: OpenOffice) -> None:
    async with office() as it:
        parent = await drawn(it)
        upscaled = partial(offspring.upscaled, index=0)
        child = await make(it, parent, upscaled, asked_at_s=NOON_S)
        with pytest.raises(JobRefusedError, match=f"it is the job {child.id}"):
            await make(it, parent, upscaled, asked_at_s=NOON_S + 0.01)
        # Of another picture, by another person, or a while later it is meant.
        another = partial(offspring.upscaled, index=1)
        await make(it, parent, another, asked_at_s=NOON_S + 0.01)
        await make(it, parent, upscaled, user_id=2, asked_at_s=NOON_S + 0.01)
        await make(it, parent, upscaled, asked_at_s=NOON_S + 5)
        assert len(await it.gallery.starters()) == 4


@pytest.mark.parametrize("limits", [Limits(queued=0), None])
async def test_what_is_refused_leaves_nothing_behind(
    office: OpenOffice, limits: Limits | None
) -> None:
    async with office() as it:
        parent = await drawn(it)
        if limits is not None:
            it.studio._limits = limits
            with pytest.raises(JobRefusedError):
                await make(it, parent, partial(offspring.upscaled, index=0))
        else:
            with pytest.raises(InvalidRequestError, match="no picture that can be read"):
                await it.studio.bring(new_job_id(), [file_of("red"), b"no picture"])
        assert await it.gallery.starters() == ()


async def test_what_was_brought_for_no_job_goes_at_the_next_start(office: OpenOffice) -> None:
    async with office() as it:
        job = await bring(it)
        await it.studio.bring(new_job_id(), [file_of("blue")])
        await forget_unclaimed(it.ledger, it.gallery)
        assert await it.gallery.starters() == (job.id,)


async def test_a_picture_that_is_lost_before_its_turn_is_said(
    office: OpenOffice, tmp_path: Path
) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        first, job = make_job(), make_job()
        await it.ask(first)
        (source,) = await it.studio.bring(job.id, [file_of("red")])
        wish = replace(job.wish, source=offspring.source_fields(source))
        await it.ask(replace(job, wish=wish))
        kept = tmp_path / "images/.brought" / job.id / source.picture
        kept.write_bytes(file_of("blue"))
        gate.open()
        await it.home.until(lambda: job.id in it.home.told)
        assert "Bring it again" in it.home.told[job.id]
        assert await it.state(job) is State.FAILED


async def test_of_pictures_that_are_gone_nothing_is_made(office: OpenOffice) -> None:
    async with office() as it:
        parent = await drawn(it)
        await it.gallery.forget([parent.id])
        with pytest.raises(UnknownJobError, match="no longer on the bot's disk"):
            await make(it, parent, partial(offspring.upscaled, index=0))
        await make(it, parent, partial(offspring.varied, index=0, how="strong"))  # needs none
        await it.studio.delete(parent.id, Actor(parent.person))
        with pytest.raises(UnknownJobError, match="Deleted by the one who asked"):
            await make(it, parent, offspring.rerolled)


async def test_an_operator_asks_again_for_what_started_from_a_picture(office: OpenOffice) -> None:
    failing, pipeline = FakePipeline(failure=RuntimeError("no")), FakePipeline()
    async with office(lambda: failing) as it:
        job = make_job()
        (source,) = await it.studio.bring(job.id, [file_of("red")])
        wish = replace(job.wish, source=offspring.source_fields(source))
        await it.ask(replace(job, wish=wish))
        await it.home.until(lambda: job.id in it.home.told)
        await it.until_told(job.id)
    async with office(lambda: pipeline) as it:
        again = await it.studio.repeat(job.id)
        await it.home.until(lambda: again in it.home.delivered)
    assert list(pipeline.pictures[0]) == [source.picture]


async def test_deleted_pictures_are_gone_everywhere_and_stay_so(office: OpenOffice) -> None:
    async with office() as it:
        job = await bring(it)
        fan = make_person(2)
        await it.studio.like(seen_by(fan), job.id, 1, liked=True)
        with pytest.raises(NotAllowedError):
            await it.studio.delete(job.id, Actor(fan))
        moderator = Actor(fan, job.origin.venue)
        record = await it.studio.delete(job.id, moderator)
        assert record.deleted == "Deleted by a moderator."
        assert (record.images, record.state) == ((), State.DELIVERED)
        again = await it.studio.delete(job.id, Actor(job.person))  # pressed again
        assert again.deleted == "Deleted by a moderator."
        assert (await it.studio.page(seen_by(fan), "liked", 0, size=9)).pictures == ()
        assert await it.gallery.starters() == ()
        with pytest.raises(UnknownJobError, match="by a moderator"):
            await it.studio.record(job.id, seen_by(job.person))


async def test_what_is_not_over_is_cancelled_and_not_deleted(office: OpenOffice) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        job = make_job()
        await it.ask(job)
        with pytest.raises(IllegalMoveError, match="not over yet"):
            await it.studio.delete(job.id, Actor(job.person))
        gate.open()


async def test_a_draft_is_its_owners_alone_until_it_is_published(office: OpenOffice) -> None:
    async with office() as it:
        job = await drawn(it, replace(make_job(), showing=Showing(private=True)))
        stranger = make_person(2)
        for of in (offspring.rerolled, partial(offspring.upscaled, index=0)):
            with pytest.raises(NotAllowedError, match=NOT_SHOWN_TO_YOU[:20]):
                await make(it, job, of, user_id=2)
        with pytest.raises(NotAllowedError):
            await it.studio.like(seen_by(stranger), job.id, 0, liked=True)
        with pytest.raises(NotAllowedError):
            await it.studio.blur(job.id, Actor(stranger), blurred=True)
        child = await make(it, job, offspring.rerolled)
        with pytest.raises(NotAllowedError):  # so is what is made of it
            await it.studio.lineage(child.id, seen_by(stranger))
        await it.home.until(lambda: child.id in it.home.delivered)
        shown = await publish(it, child, 1)
        assert (
            len(await it.studio.lineage(shown.id, seen_by(stranger))) == 1
        )  # without what it is made of
        await it.studio.like(seen_by(stranger), shown.id, 1, liked=True)
        with pytest.raises(NotAllowedError):
            await it.studio.like(seen_by(stranger), child.id, 1, liked=True)


async def test_what_is_published_is_there_once_and_for_itself(office: OpenOffice) -> None:
    pipeline = FakePipeline()
    async with office(lambda: pipeline) as it:
        draft = await drawn(it, replace(make_job(), showing=Showing(private=True, spoiler=True)))
        with pytest.raises(NotAllowedError, match="Only the one who asked"):
            await publish(it, draft, user_id=2)
        with pytest.raises(InvalidRequestError, match="not there"):
            await publish(it, draft, 7)
        one, every = await publish(it, draft, 2), await publish(it, draft)
        for job in (one, every):
            await it.until_state(job.id, State.DELIVERED)
            assert job.showing == Showing(spoiler=True)
        for again in (2, None):
            with pytest.raises(JobRefusedError, match="published before"):
                await publish(it, draft, again)
        with pytest.raises(IllegalMoveError, match="Everybody"):
            await publish(it, one)
        # The same files, without anything drawn for them.
        files = {job.id: it.home.delivered[job.id] for job in (draft, one, every)}
        assert [p.data for p in files[every.id]] == [p.data for p in files[draft.id]]
        assert [p.data for p in files[one.id]] == [files[draft.id][2].data]
        assert len(pipeline.pictures) == 1
        own = await it.studio.page(seen_by(draft.person), "drawn", 0, size=10)
        assert {shown.record.job.id for shown in own.pictures} == {draft.id}
        await it.studio.delete(draft.id, Actor(draft.person))
        own = await it.studio.page(seen_by(draft.person), "drawn", 0, size=10)
        assert [shown.record.job.id for shown in own.pictures] == [every.id] * 4 + [one.id]
        assert (await it.studio.picture(one.id, 2, seen_by(make_person(3)))).data == files[one.id][
            0
        ].data
        with pytest.raises(UnknownJobError, match="Deleted"):
            await publish(it, draft)


async def test_what_was_published_and_deleted_is_not_published_again(office: OpenOffice) -> None:
    """Who deleted it meant it."""
    async with office() as it:
        draft = await drawn(it, replace(make_job(), showing=Showing(private=True)))
        shown = await publish(it, draft, 1)
        await it.until_state(shown.id, State.DELIVERED)
        await it.studio.delete(shown.id, Actor(draft.person))
        with pytest.raises(JobRefusedError, match="published before"):
            await publish(it, draft, 1)
        await publish(it, draft, 2)


async def test_a_draft_that_is_deleted_while_it_is_published_stays_unseen(
    office: OpenOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office() as it:
        draft = await drawn(it, replace(make_job(), showing=Showing(private=True)))
        copy = it.gallery.copy

        async def slow(*args: Any) -> Any:
            copied = await copy(*args)
            await it.studio.delete(draft.id, Actor(draft.person))
            return copied

        monkeypatch.setattr(it.gallery, "copy", slow)
        with pytest.raises(UnknownJobError, match="Deleted"):
            await publish(it, draft)
        assert len(await it.ledger.find()) == 1
    assert [one.name for one in (tmp_path / "images").iterdir()] == [".brought"]
    assert not any((tmp_path / "images" / ".brought").iterdir())


async def test_copies_for_what_never_came_to_be_go_at_the_next_start(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office() as it:
        draft = await drawn(it, replace(make_job(), showing=Showing(private=True)))
        record = await it.ledger.get(draft.id)
        await it.gallery.copy(draft.id, "aaaaaaaa", record.images)  # and the process ended
        await forget_unclaimed(it.ledger, it.gallery)
        assert not (tmp_path / "images" / "aaaaaaaa").exists()
        assert len(await it.gallery.read(draft.id, record.images)) == 4


async def test_what_a_published_picture_started_from_is_not_published(office: OpenOffice) -> None:
    async with office() as it:
        job = make_job()
        (source,) = await it.studio.bring(job.id, [file_of("red")])
        wish = replace(job.wish, source=offspring.source_fields(source))
        draft = await drawn(it, replace(job, wish=wish, showing=Showing(private=True)))
        shown = await publish(it, draft)
        await it.until_state(shown.id, State.DELIVERED)
        with pytest.raises(NotAllowedError, match="Only the one who published it"):
            await make(it, shown, offspring.rerolled, user_id=2)
        await make(it, shown, partial(offspring.upscaled, index=0), user_id=2)  # of what is shown
        await make(it, shown, offspring.rerolled)


async def test_what_is_drawn_elsewhere_is_nobody_elses(office: OpenOffice) -> None:
    """In a private channel, or another server: whoever learns a job's id sees nothing by it."""
    async with office() as it:
        here = make_job()
        home = here.origin.venue.home
        places = [Venue(home, None, "77"), Venue(home, "8", "9")]
        for place in places:
            job = make_job()
            await drawn(it, replace(job, origin=replace(job.origin, venue=place)))
            for by in (seen_by(make_person(2)), Viewer(make_person(2), Venue(home, None, "78"))):
                with pytest.raises(NotAllowedError):
                    await it.studio.record(job.id, by)
                with pytest.raises(NotAllowedError):
                    await it.studio.lineage(job.id, by)
                with pytest.raises(NotAllowedError):
                    await it.studio.picture(job.id, 0, by)
            with pytest.raises(NotAllowedError):
                await make(it, job, offspring.rerolled, user_id=2)
            await it.studio.record(job.id, seen_by(job.person))
            await it.studio.record(job.id, Viewer(make_person(2), place))


async def test_a_published_picture_that_is_lost_is_drawn_anew_alone(
    office: OpenOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office() as it:
        draft = await drawn(it, replace(make_job(), showing=Showing(private=True)))
        hand_over = it.worker.hand_over

        def lose(record: Record) -> None:
            (tmp_path / "images" / record.job.id / record.images[0].filename).unlink()
            hand_over(record)

        monkeypatch.setattr(it.worker, "hand_over", lose)
        shown = await publish(it, draft, 3)
        await it.home.until(lambda: shown.id in it.home.delivered)
        assert [p.index for p in it.home.delivered[shown.id]] == [3]
        assert it.home.delivered[shown.id][0].data == it.home.delivered[draft.id][3].data


async def test_pictures_are_blurred_and_shown_again(office: OpenOffice) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        job = make_job()
        await it.ask(job)
        with pytest.raises(IllegalMoveError, match="not shown yet"):
            await it.studio.blur(job.id, Actor(job.person), blurred=True)
        gate.open()
        await it.until_state(job.id, State.DELIVERED)
        for blurred in (True, True, False):
            record = await it.studio.blur(job.id, Actor(job.person), blurred=blurred)
            assert record.job.showing == Showing(spoiler=blurred)
        with pytest.raises(NotAllowedError):
            await it.studio.blur(job.id, Actor(make_person(2)), blurred=True)
        moderator = Actor(make_person(3), moderates=job.origin.venue)
        held = await it.studio.blur(job.id, moderator, blurred=True)
        assert held.job.showing == Showing(spoiler=True, held=True)
        await it.studio.blur(job.id, Actor(job.person), blurred=True)
        with pytest.raises(NotAllowedError, match="only a moderator can unblur"):
            await it.studio.blur(job.id, Actor(job.person), blurred=False)
        child = await make(it, job, offspring.rerolled)  # nor by having more made of it
        assert child.showing == held.job.showing
        record = await it.studio.blur(job.id, moderator, blurred=False)
        assert record.job.showing == Showing()
        await it.studio.delete(job.id, Actor(job.person))
        with pytest.raises(UnknownJobError):
            await it.studio.blur(job.id, Actor(job.person), blurred=True)


async def test_favourites_come_latest_first_and_a_page_at_a_time(office: OpenOffice) -> None:
    async with office() as it:
        job, fan = await drawn(it), make_person(2)
        for index in (2, 0, 3, 0):  # twice is once
            await it.studio.like(seen_by(fan), job.id, index, liked=True)
        await it.studio.like(seen_by(fan), job.id, 2, liked=False)
        pages = [await it.studio.page(seen_by(fan), "liked", number, size=1) for number in range(3)]
        assert [one.index for page in pages for one in page.pictures] == [3, 0]
        assert [page.has_next for page in pages] == [True, False, False]
        assert await it.studio.likes(fan, job.id) == {0, 3}
        assert await it.studio.likes(job.person, job.id) == set()
        with pytest.raises(UnknownJobError):
            await it.studio.like(seen_by(fan), job.id, 7, liked=True)


async def test_who_wants_to_be_told_of_this_one_is_told(office: OpenOffice) -> None:
    async with office() as it:
        told = await drawn(it, replace(make_job(), showing=Showing(mention=True)))
        untold = await drawn(it)
        await it.home.until(lambda: told.id in it.home.mentioned)
        assert untold.id not in it.home.mentioned
