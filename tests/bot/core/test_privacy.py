"""What is kept of somebody: counted, taken away, erased; with a real ledger, engine and gallery."""

import asyncio
import io
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bot.core import offspring
from bot.core.audit import Deed, first_broken
from bot.core.card import deleted_card
from bot.core.case import Report, case_of
from bot.core.defaults import Defaults, Manner, Scope
from bot.core.job import FINAL, Job, Parent, Person, State
from bot.core.kept import Kept
from bot.core.offspring import source_fields
from bot.core.policy import Actor, Viewer
from bot.core.privacy import ERASED, erased_sentences, kept_sentences
from bot.core.verdict import Finding, Term
from bot.core.wish import Wish
from bot.errors import (
    GalleryError,
    IllegalMoveError,
    JobRefusedError,
    LedgerError,
    UnknownJobError,
)
from bot.operations.log import set_up
from bot.shared.data_folder import LEDGER
from tests.bot.core.jobs import HOME, NOON_S, make_job, make_person
from tests.bot.core.office import Office, OpenOffice
from tests.bot.core.test_studio import make
from tests.bot.ledgers.databases import IN_POSTGRES, connection_to, sqlite_alone
from tests.fakes import FakePipeline, Gate

SECRETS = ("whale", "kelp", "ambergris", "harpoon", "Ishmael")
ISHMAEL = Person(HOME, "77", "Ishmael", "de")
BOB = make_person(2222)


def secret_job(prompt: str = "a whale", **more: Any) -> Job:
    job = make_job(prompt, **more)
    wish = replace(job.wish, negative_prompt="kelp")
    return replace(job, wish=wish, person=ISHMAEL, origin=replace(job.origin, message=job.id))


async def drawn(office: Office, job: Job) -> None:
    await office.ask(job)
    await office.until_state(job.id, State.DELIVERED)


async def life(office: Office) -> Job:
    """Somebody draws, likes, sets, reports, is reported and is warned; returns their job."""
    job, other = secret_job(), make_job("a bird", user_id=2222, guild_id=9)
    await drawn(office, job)
    await drawn(office, other)
    await office.studio.like(Viewer(ISHMAEL, other.origin.venue), other.id, 0, liked=True)
    usual = Defaults(Wish("", negative_prompt="ambergris"), Manner(spoiler=True))
    by = Actor(ISHMAEL, None, None)
    await office.studio.set_defaults(Scope(HOME, "person", ISHMAEL.id), usual, by)
    await office.studio.set_mention(ISHMAEL, wanted=True)
    for reported, reporter, why in ((other, ISHMAEL, "harpoon"), (job, BOB, "I am Bob")):
        deed = Deed("report", reporter.id, HOME, "3", reported.id)
        case = case_of(reported, "reported", (), NOON_S)
        await office.registry.report(case, Report(reporter, why), deed, NOON_S)
    return job


def everything(folder: Path) -> str:
    """All text that any table but the audit holds."""
    names = (
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        if IN_POSTGRES
        else "SELECT name FROM sqlite_schema WHERE type = 'table'"
    )
    with connection_to(folder) as connection:
        tables = [
            name
            for (name,) in connection.execute(names)
            if name not in {"audit", "sqlite_sequence", "lease", "ranges"}
        ]
        rows = [
            connection.execute(f"SELECT * FROM {name}").fetchall()  # noqa: S608 - our own names
            for name in tables
        ]
    return repr(dict(zip(tables, rows, strict=True)))


async def test_it_is_counted(office: OpenOffice) -> None:
    async with office() as one:
        assert await one.privacy.kept(ISHMAEL) == Kept()
        await life(one)
        kept = await one.privacy.kept(ISHMAEL)
    assert (kept.jobs, kept.emptied, kept.pictures, kept.favourites) == (1, 0, 4, 1)
    assert (kept.defaults, kept.reports, kept.cases, kept.blocks) == (1, 1, 1, 0)
    assert kept.since_s is not None
    assert kept.latest_s is not None
    assert kept.since_s <= NOON_S
    lines = kept_sentences(kept, 30)
    assert lines[:2] == ["Kept of you:", "1 job with its prompt and settings"]
    assert "4 pictures" in lines
    assert not [line for line in lines if "blocked" in line and "server" in line[:9]]
    assert kept_sentences(Kept(), 30) == ["Nothing of you is kept here."]


async def test_what_is_shown_as_a_date_is_one(office: OpenOffice, tmp_path: Path) -> None:
    async with office() as one:
        await one.ledger.look_at_clock(NOON_S + 100, None)
        await one.studio.set_mention(ISHMAEL, wanted=True)  # kept until its days have passed
        with connection_to(tmp_path) as connection:
            # The wall clock went two days ahead of what surely passed.
            connection.execute("UPDATE people SET first_at_s = ?", (NOON_S,))
            connection.execute("UPDATE clock SET wall_s = passed_s + 172800")
            (last_s,) = connection.execute("SELECT last_at_s + 172800 FROM people").fetchone()
        kept = await one.privacy.kept(ISHMAEL)
        files = {name: data async for name, data in one.privacy.exported(ISHMAEL)}
        with connection_to(tmp_path) as connection:
            connection.execute("UPDATE people SET first_at_s = ?", (last_s + 60,))
        looked_before = await one.privacy.kept(ISHMAEL)
    assert (kept.since_s, kept.latest_s) == (NOON_S, last_s)
    person = json.loads(files["data.json"])["person"]
    assert person["last"] == datetime.fromtimestamp(last_s, UTC).isoformat(timespec="seconds")
    assert looked_before.since_s == looked_before.latest_s == last_s + 60


async def test_what_is_taken_away_does_not_tell_the_filters_words(office: OpenOffice) -> None:
    found = Finding("block", "sexual", "zebra", "prompt")
    async with office() as one:
        job = secret_job()
        await one.registry.open_case(case_of(job, "refused", (found,), NOON_S))
        files = {name: data async for name, data in one.privacy.exported(ISHMAEL)}
    (case,) = json.loads(files["data.json"])["cases"]
    assert case["findings"] == [{"measure": "block", "category": "sexual", "where": "prompt"}]


async def test_it_is_taken_away_without_anybody_elses_name(office: OpenOffice) -> None:
    async with office() as one:
        job = await life(one)
        files = {name: data async for name, data in one.privacy.exported(ISHMAEL)}
        stored = (await one.ledger.get(job.id)).images
        pictures = await one.gallery.read(job.id, stored)
    data = json.loads(files.pop("data.json"))
    text = json.dumps(data)
    assert all(secret in text for secret in SECRETS)
    assert "Bob" not in text
    assert BOB.name not in text
    assert f'"{BOB.id}"' not in text
    assert data["cases"][0]["reports"] == 1
    assert data["jobs"][0]["wish"]["seed"] == 0
    assert data["jobs"][0]["asked"] == "2027-01-15T08:00:00+00:00"
    assert data["favourites"][0]["picture"] == 1
    assert b"Nobody else is named" in files.pop("README.txt")
    assert files == {f"pictures/{one.filename}": one.data for one in pictures}


async def test_what_was_brought_goes_along_and_what_is_lost_is_left_out(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office() as one:
        first = secret_job()
        await drawn(one, first)
        (picture, *_) = await one.gallery.read(first.id, (await one.ledger.get(first.id)).images)
        second = secret_job("a calf")
        (source,) = await one.studio.bring(second.id, [picture.data])
        second = replace(second, wish=replace(second.wish, source=source_fields(source)))
        await drawn(one, second)
        (tmp_path / "images" / first.id / picture.filename).unlink()
        files = {name: data async for name, data in one.privacy.exported(ISHMAEL)}
    brought = f"pictures/brought/{second.id}_{source.picture[:8]}.png"
    assert files[brought] == picture.data
    assert f"pictures/{picture.filename}" not in files
    assert len(files) == 2 + 1 + 3 + 4


async def test_what_waits_for_a_moderator_is_not_taken_away(office: OpenOffice) -> None:
    checked = partial(FakePipeline, checks=("skin",), scores={"skin": 0.9})
    async with office(checked) as one:
        boss = Actor(BOB, None, make_job(user_id=2222).origin.venue)
        await one.moderators.set_desk("desk", boss)
        job = secret_job()
        await one.ask(job)
        await one.until_state(job.id, State.REVIEW)
        files = {name: data async for name, data in one.privacy.exported(ISHMAEL)}
        assert files.keys() == {"data.json", "README.txt"}
        assert "wait for a moderator" in files["README.txt"].decode()
        assert json.loads(files["data.json"])["jobs"][0]["state"] == "review"
        await one.home.until(lambda: bool(one.home.cases))
        await one.moderators.decide(next(iter(one.home.cases)), "approve", boss)
        await one.until_state(job.id, State.DELIVERED)
        assert len([name async for name, _ in one.privacy.exported(ISHMAEL)]) == 2 + 4


async def test_nothing_but_ids_and_times_is_left(office: OpenOffice, tmp_path: Path) -> None:
    async with office() as one:
        job = await life(one)
        limits_before = (await one.ledger.get(job.id)).job.asked_at_s
        before = everything(tmp_path)
        assert all(secret in before for secret in SECRETS)
        assert await one.privacy.erase(ISHMAEL) == 1
        assert not [secret for secret in SECRETS if secret in everything(tmp_path)]
        assert not (tmp_path / "images" / job.id).exists()
        record = await one.ledger.get(job.id)
        assert (record.state, record.deleted, record.images) == (State.DELIVERED, ERASED, ())
        assert record.job.asked_at_s == limits_before
        kept = await one.privacy.kept(ISHMAEL)
        assert (kept.jobs, kept.emptied, kept.pictures, kept.favourites) == (0, 1, 0, 0)
        assert (kept.defaults, kept.reports, kept.cases) == (0, 1, 1)
        await one.home.until(lambda: job.id in {one.job.id for one in one.home.amended})
        shown = deleted_card(one.home.amended[-1])
        assert str(ERASED) in "".join(map(str, shown.status))
        for use in (
            one.studio.record(job.id, Viewer(ISHMAEL, job.origin.venue)),
            one.studio.picture(job.id, 0, Viewer(ISHMAEL, job.origin.venue)),
        ):
            with pytest.raises(UnknownJobError, match="Erased"):
                await use
        entries = await one.registry.chain(0, limit=100)
        deeds = [(entry.kind, entry.actor, entry.community) for entry in entries]
        assert deeds.count(("erase", ISHMAEL.id, "3")) == 1
        assert first_broken(entries) is None
        # The other's is untouched.
        assert (await one.privacy.kept(BOB)).pictures == 4


@sqlite_alone
async def test_what_the_file_held_is_gone_from_the_disk(office: OpenOffice, tmp_path: Path) -> None:
    async with office() as one:
        await life(one)
        await one.privacy.erase(ISHMAEL)
        held = await asyncio.to_thread(
            lambda: b"".join(path.read_bytes() for path in tmp_path.glob(f"{LEDGER}*"))
        )
    assert not [secret for secret in SECRETS if secret.encode() in held]


async def test_done_again_it_changes_nothing(office: OpenOffice, tmp_path: Path) -> None:
    async with office() as one:
        await life(one)
        await one.privacy.erase(ISHMAEL)
        await one.home.until(lambda: bool(one.home.amended))
        entries = len(await one.registry.chain(0, limit=100))
        assert await one.privacy.erase(ISHMAEL) == 0
        assert len(await one.registry.chain(0, limit=100)) == entries
        assert await one.privacy.erase(make_person(5)) == 0
        assert len(await one.registry.chain(0, limit=100)) == entries


async def test_what_waits_and_what_is_drawn_is_cancelled(office: OpenOffice) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as one:
        running, waiting = secret_job(), secret_job("a whale, again")
        await one.ask(running)
        await one.until_state(running.id, State.RUNNING)
        await one.ask(waiting)
        assert await one.privacy.erase(ISHMAEL) == 2
        gate.open()
        for job in (running, waiting):
            assert await one.state(job) is State.CANCELLED
            await one.until_told(job.id)
            assert one.home.told[job.id] == ERASED
            record = await one.ledger.get(job.id)
            assert (record.job.wish.prompt, record.reason) == ("", ERASED)


@pytest.mark.parametrize("broken", ["gallery", "ledger"])
async def test_a_try_that_breaks_off_is_finished_by_the_next(
    office: OpenOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as one:
        waiting = secret_job()
        await one.ask(waiting)

        async def fail(*_: object) -> None:
            raise GalleryError("No.") if broken == "gallery" else LedgerError("No.")

        with monkeypatch.context() as patch:
            if broken == "gallery":
                patch.setattr(one.gallery, "forget", fail)
            else:
                patch.setattr(one.registry, "erase", fail)
            with pytest.raises((GalleryError, LedgerError)):
                await one.privacy.erase(ISHMAEL)
        # Its card says so at once, without what was asked for.
        await one.until_told(waiting.id)
        assert await one.privacy.erase(ISHMAEL) == 1
        assert not [secret for secret in SECRETS if secret in everything(tmp_path)]
        gate.open()


async def test_a_process_that_ends_in_between_is_gone_on_from(
    office: OpenOffice, tmp_path: Path
) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as one:
        job = secret_job()
        await one.ask(job)
        await one.ledger.move(job.id, State.CANCELLED, reason=ERASED)
        gate.open()
    async with office() as two:
        assert await two.privacy.erase(ISHMAEL) == 1
    async with office() as three:
        # The second may have come to it before its end.
        await three.home.until(lambda: bool(two.home.amended or three.home.amended))
    assert not [secret for secret in SECRETS if secret in everything(tmp_path)]


async def test_others_jobs_that_show_the_same_go_and_their_own_stay(office: OpenOffice) -> None:
    async with office() as one:
        job = secret_job()
        await drawn(one, job)
        bobs = make_job("a whale, by Bob", user_id=2222)
        made = {
            "upscale": replace(bobs, parent=Parent(job.id, "upscale", 0)),
            "reroll": replace(
                make_job("a whale, by Bob", user_id=2222), parent=Parent(job.id, "reroll")
            ),
        }
        for child in made.values():
            await drawn(one, child)
        assert await one.privacy.erase(ISHMAEL) == 2
        larger, anew = [await one.ledger.get(made[act].id) for act in ("upscale", "reroll")]
        assert (larger.deleted, larger.job.wish.prompt) == (ERASED, "")
        assert (anew.deleted, len(anew.images)) == (None, 4)


async def test_what_was_drawn_larger_again_goes_and_not_what_others_made_of_their_own(
    office: OpenOffice, tmp_path: Path
) -> None:
    async with office() as one:
        larger = partial(offspring.upscaled, index=0)
        mine, bobs = make_job("a whale"), make_job("a bird", user_id=2222)
        for job in (mine, bobs):
            await drawn(one, job)
        made = dict[str, Job]()
        for name, parent, of, user_id in (
            ("larger", mine, larger, 2222),
            ("larger again", "larger", offspring.rerolled, 2222),
            ("Bob's, larger", bobs, larger, 1),
            ("Bob's, larger again", "Bob's, larger", offspring.rerolled, 2222),
        ):
            of_job = made[parent] if isinstance(parent, str) else parent
            made[name] = await make(one, of_job, of, user_id=user_id)
            await one.until_state(made[name].id, State.DELIVERED)
        await one.privacy.erase(mine.person)
        records = {name: await one.ledger.get(job.id) for name, job in made.items()}
        gone = {name for name, record in records.items() if record.deleted is not None}
        assert gone == {"larger", "larger again", "Bob's, larger"}
        left = tmp_path / "images"
        assert not [made[name] for name in gone if [*left.rglob(f"{made[name].id}*")]]


async def test_erased_jobs_count_against_limits_and_are_not_drawn_again(
    office: OpenOffice,
) -> None:
    async with office(lambda: FakePipeline(failure=RuntimeError("broken"))) as one:
        job = secret_job()
        await one.ask(job)
        await one.until_told(job.id)
        assert await one.privacy.erase(ISHMAEL) == 1
        with pytest.raises(IllegalMoveError, match="cannot be drawn again"):
            await one.studio.repeat(job.id)
        assert await one.studio.prompts(ISHMAEL, "") == {}
        assert [listed.record.job.id for listed in await one.studio.list_of(ISHMAEL, None, limit=5)]


async def test_a_block_stays(office: OpenOffice) -> None:
    async with office() as one:
        boss = Actor(BOB, None, make_job(user_id=2222).origin.venue)
        await one.moderators.block(ISHMAEL, boss, reason="spam")
        await one.privacy.erase(ISHMAEL)
        assert (await one.privacy.kept(ISHMAEL)).blocks == 1
        files = {name: data async for name, data in one.privacy.exported(ISHMAEL)}
    data = json.loads(files["data.json"])
    assert data["blocks"] == [{"community": "3", "until": None, "reason": "spam"}]
    assert [(one["deed"], one["by"]) for one in data["audit"]] == [("block", "somebody else")]


def test_what_is_left_is_said() -> None:
    text = " ".join(erased_sentences(3, 30))
    assert text.startswith("Erased: 3 jobs")
    assert "30" in text
    assert "audit" not in text


async def test_every_state_can_be_erased(office: OpenOffice) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as one:
        jobs = {state: secret_job(f"a whale {state}") for state in State}
        for state, job in jobs.items():
            await one.ledger.insert(job)
            for step in {
                State.QUEUED: (),
                State.RUNNING: (State.RUNNING,),
                State.REVIEW: (State.RUNNING, State.REVIEW),
                State.DRAWN: (State.RUNNING, State.DRAWN),
                State.DELIVERED: (State.RUNNING, State.DRAWN, State.DELIVERED),
                State.UNDELIVERED: (State.RUNNING, State.DRAWN, State.UNDELIVERED),
            }.get(state, (state,)):
                await one.ledger.move(job.id, step, reason="a whale" if step in FINAL else "")
        assert await one.privacy.erase(ISHMAEL) == len(jobs)
        for job in jobs.values():
            record = await one.ledger.get(job.id)
            assert record.state in FINAL
            assert "whale" not in repr(record)


async def test_what_no_moderator_decided_is_cancelled_and_told(office: OpenOffice) -> None:
    async with office() as one:
        job = secret_job()
        await one.ledger.insert(job)
        for state in (State.RUNNING, State.REVIEW):
            await one.ledger.move(job.id, state)
        await one.moderators.give_up(job.id, 7)
        await one.until_told(job.id)
        await one.moderators.give_up(job.id, 7)
        assert await one.state(job) is State.CANCELLED
        assert one.home.told[job.id] == "No moderator decided about these pictures in 7 days."
        deeds = [(entry.kind, entry.actor) for entry in await one.registry.chain(0, limit=9)]
    assert deeds == [("cancel", "rules")]


@pytest.mark.parametrize("days", [1, 0, -3])
async def test_what_limits_count_is_kept_for_two_days_at_least(
    office: OpenOffice, days: int
) -> None:
    async with office() as one:
        boss = Actor(BOB, None, make_job().origin.venue)
        with pytest.raises(JobRefusedError, match=r"2 days at least\. What must go sooner, delete"):
            await one.moderators.set_keep_days(days, boss)
        await one.moderators.set_keep_days(2, boss)
        assert (await one.moderators.house(boss)).keep_days == 2


@pytest.mark.parametrize("wanted", [False, True])
async def test_the_log_holds_prompts_only_where_that_is_wanted(
    office: OpenOffice, wanted: bool
) -> None:
    """At its most talkative: jobs that are drawn, refused, cancelled, reported and erased."""
    written = io.StringIO()
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    set_up("debug", stream=written)
    try:
        async with office(logs_prompts=wanted) as one:
            await life(one)
            one.filter.terms.append(Term("forbidden", "word", "block", "whale"))
            with pytest.raises(JobRefusedError):
                await one.ask(secret_job("a forbidden whale"))
            evil = secret_job("kelp\n2026 ERROR forged")
            await drawn(one, evil)
            await one.privacy.erase(ISHMAEL)
    finally:
        root.setLevel(before[0])
        root.handlers[:] = before[1]
    lines = written.getvalue()
    assert "taken" in lines
    assert "a-token" not in lines
    assert ISHMAEL.name not in lines
    assert not [line for line in lines.splitlines() if line.startswith("2026 ERROR")]
    if wanted:
        assert "taken: a whale\n" in lines
        assert "taken: kelp\\n2026 ERROR forged\n" in lines
    else:
        assert not [secret for secret in SECRETS if secret in lines]
