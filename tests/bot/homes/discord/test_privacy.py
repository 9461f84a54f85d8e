"""/privacy, through the real client over the wire."""

import io
import json
from typing import Any
from zipfile import ZipFile

import pytest

from bot.core.job import Person
from standins.discord.components import files_of, pressable, text_of
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import RunBot
from tests.bot.homes.discord.test_faults import has_pictures
from tests.bot.homes.discord.test_jobs_in_the_channel import ADA, BEN, custom_ids

Message = dict[str, Any]
BEN_THERE = Person("discord", str(BEN))


def says(*words: str) -> Any:
    return lambda message: all(word in (message.get("content") or "") for word in words)


async def privacy(loopback: LoopbackDiscord, action: str, **more: Any) -> Interaction:
    return await loopback.slash(f"privacy {action}", {}, **{"user_id": BEN, **more})


async def drawn(loopback: LoopbackDiscord, prompt: str = "a secret fox", **more: Any) -> Message:
    asked = await loopback.slash("imagine", {"prompt": prompt}, **{"user_id": BEN, **more})
    return await asked.until(has_pictures)


async def unzipped(loopback: LoopbackDiscord, message: Message) -> list[dict[str, bytes]]:
    archives = []
    for one in message["attachments"]:
        with ZipFile(io.BytesIO(await loopback.download(one))) as archive:
            assert archive.testzip() is None
            archives.append({name: archive.read(name) for name in archive.namelist()})
    return archives


async def test_show_says_how_much_and_how_long(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot():
        nothing = await (await privacy(loopback, "show")).until(says("Nothing of you"))
        await drawn(loopback)
        shown = await (await privacy(loopback, "show")).until(says("1 job", "4 pictures"))
    assert nothing["flags"] & shown["flags"] & 64
    assert "<t:" in shown["content"]


async def test_export_has_everything_of_theirs(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot():
        await drawn(loopback)
        await drawn(loopback, "a secret whale", user_id=ADA)
        sent = await (await privacy(loopback, "export")).until(says("all that is kept"))
        (files,) = await unzipped(loopback, sent)
    assert sent["flags"] & 64
    data = json.loads(files["data.json"])
    assert [one["wish"]["prompt"] for one in data["jobs"]] == ["a secret fox"]
    assert len([name for name in files if name.startswith("pictures/")]) == 4
    assert str(ADA) not in json.dumps(data)


@pytest.mark.parametrize("file_limit_bytes", [40_000])
async def test_export_goes_into_several_files_and_says_what_is_left_out(
    loopback: LoopbackDiscord, run_bot: RunBot, file_limit_bytes: int
) -> None:
    async with run_bot():
        for number in range(8):
            await drawn(loopback, f"fox {number}")
        sent = await (await privacy(loopback, "export")).until(says("did not fit"))
        archives = await unzipped(loopback, sent)
    assert 1 < len(archives) <= 10
    assert all(one["size"] <= file_limit_bytes for one in sent["attachments"])
    pictures = sum(name.startswith("pictures/") for one in archives for name in one)
    assert f"{32 - pictures} picture" in sent["content"]
    assert f"imagine privacy export --home discord {BEN}" in sent["content"]


async def test_erase_asks_first_and_erases_then(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot() as bot:
        card = await loopback.slash("imagine", {"prompt": "a secret fox"}, user_id=BEN)
        await card.until(has_pictures)
        asked = await (await privacy(loopback, "erase")).until(says("Really erase"))
        assert custom_ids(asked) == ["v1:erase:mine", "v1:keep:mine"]
        assert [one["style"] for one in asked["components"][0]["components"]] == [4, 2]
        kept = await loopback.press(int(asked["id"]), "v1:keep:mine", user_id=BEN)
        assert (await kept.until(says("Nothing was erased")))["components"] == []
        assert (await bot.app.privacy.kept(BEN_THERE)).pictures == 4

        asked = await (await privacy(loopback, "erase")).until(says("Really erase"))
        erased = await loopback.press(int(asked["id"]), "v1:erase:mine", user_id=BEN)
        told = await erased.until(says("Erased: 1 job", "Rows of ids"))
        assert told["components"] == []
        assert (await bot.app.privacy.kept(BEN_THERE)).pictures == 0
        left = await card.until(lambda one: "Erased by" in text_of(one))
    assert "secret" not in text_of(left)
    assert (files_of(left), pressable(left)) == ([], [])


async def test_a_stolen_button_erases_what_is_of_whoever_presses(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        shown = await drawn(loopback)
        asked = await (await privacy(loopback, "erase", user_id=ADA)).until(says("Really erase"))
        # As a press below Ben's pictures, which Discord would never send.
        kept = loopback._messages.find(int(asked["id"]))
        assert kept is not None
        pressable(kept.json)[0]["custom_id"] = f"v1:erase:{custom_ids(shown)[-1].split(':')[2]}"
        forged = pressable(kept.json)[0]["custom_id"]
        pressed = await loopback.press(int(asked["id"]), forged, user_id=ADA)
        await pressed.until(says("Erased: 0 jobs"))
        assert (await bot.app.privacy.kept(BEN_THERE)).pictures == 4
