"""/queue, /about and /help through the real client over the wire."""

from bot.core.queue.turns import Position
from bot.core.studio import Crowd
from bot.homes.discord.words_commands import queue_text
from standins.discord.components import text_of
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.discord.test_faults import has_pictures
from tests.bot.homes.discord.test_jobs_in_the_channel import BEN, CLEO, ask, says
from tests.bot.homes.discord.voices import ENGLISH
from tests.fakes import FakePipeline, Gate


async def test_where_ones_own_jobs_stand(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)) as bot:
        first = await ask(loopback)
        await first.until(says("step 0"))
        for place in range(2):
            other = await ask(loopback, user_id=(CLEO, BEN)[place])
            await other.until(says("Number"))
        asked = await loopback.slash("queue", {}, user_id=BEN)
        shown = await asked.until(says("2 jobs wait."))
        assert shown["flags"] & 64
        mine = (await bot.app.ledger.find(limit=1))[0].job
        assert mine.person.id == str(BEN)
        assert f"`{mine.id}` of yours is number 2" in text_of(shown)
        assert text_of(shown).count("of yours") == 1
        gate.open()


def test_what_is_said_of_an_empty_queue() -> None:
    assert (
        queue_text(Crowd(0, False, {}, None), 0, ENGLISH) == "Nobody waits, and nothing is drawn."
    )
    assert queue_text(Crowd(0, True, {}, 0.2), 0, ENGLISH).splitlines() == [
        "Nobody waits.",
        "What is usual takes 1 s to draw.",
    ]
    own = {"b": Position(3, 9.6), "a": Position(1, None)}
    assert queue_text(Crowd(1, True, own, None), 100, ENGLISH).splitlines() == [
        "1 job waits.",
        "`a` of yours is number 1.",
        "`b` of yours is number 3, ready <t:110:R>.",
    ]


async def test_what_draws_here_is_said(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot():
        await (await ask(loopback)).until(has_pictures)
        asked = await loopback.slash("about", {}, user_id=BEN)
        shown = text_of(await asked.until(says("made by a machine")))
        assert "**Models**: doodle" in shown
        assert "64x64, 128x64" in shown
        assert "1 x pencil" in shown
        assert "What is usual takes" in shown


async def test_help_names_every_command(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot():
        await loopback.wait_commands()
        shown = text_of(await (await loopback.slash("help", {})).until(says("/imagine")))
        assert len(shown) <= 2_000
        for command in loopback.commands():
            assert command["name"] == "help" or command["name"] in shown
