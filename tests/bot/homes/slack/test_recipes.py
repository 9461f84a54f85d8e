"""How a picture was drawn, as the menu of a message tells it."""

import io

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bot.homes.slack import render
from bot.homes.slack.manifest import manifest
from standins.slack.loopback import LoopbackSlack
from tests.bot.conftest import RunBot
from tests.bot.homes.slack.desk import said
from tests.bot.homes.slack.test_running import (
    BEN,
    CLEO,
    IMAGINE,
    ask,
    ended,
    has_pictures,
    says,
    seen,
)


def picture(parameters: str = "") -> bytes:
    """A picture's file, with what another program has written into it."""
    info, file = PngInfo(), io.BytesIO()
    if parameters:
        info.add_text("parameters", parameters)
    Image.new("RGB", (64, 64), "red").save(file, "PNG", pnginfo=info)
    return file.getvalue()


A1111 = (
    "a harbour & <!channel>\nNegative prompt: fog\nSteps: 25, Sampler: Euler a, CFG scale: 6, "
    "Seed: 7, Size: 64x64, Model: night <!here|z> *x* evil.example"
)


async def test_of_a_card_it_is_what_to_type(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack() as bot:
        await ask(slack, "a fox --seed 5 --count 1")
        shown = await seen(slack, has_pictures)
        await ended(bot)
        await slack.message_shortcut("recipe", shown, user=CLEO)
        told = await seen(slack, says("To ask again"), viewer=CLEO)
        assert "/imagine a fox" in str(told["blocks"])
        assert "--seed 5" in str(told["blocks"])


async def test_of_a_file_it_is_what_the_file_says(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack():
        files = [("plain.png", picture()), ("night.png", picture(A1111))]
        shared = await slack.say("look", user=CLEO, channel=IMAGINE, files=files)
        await slack.message_shortcut("recipe", shared, user=BEN)
        told = await seen(slack, says("Drawn by"), viewer=BEN)
        text = render.text_of(told)
        assert "*Model* night &lt;!here|z&gt; " in text
        assert not {"*x*", "evil.example"} & {*text.split()}
        # The prompt is a stranger's, and nothing in it is live.
        (command,) = [one for one in told["blocks"] if one["type"] == "rich_text"]
        assert "/imagine a harbour & <!channel>" in str(command)
        assert "--steps 25" in str(command)
        assert "<!channel>" not in text


@pytest.mark.parametrize(
    ("files", "words"),
    [([], "no picture in this message"), ([("plain.png", picture())], "says nothing of how")],
)
async def test_where_there_is_none_it_says_so(
    slack: LoopbackSlack, run_slack: RunBot, files: list[tuple[str, bytes]], words: str
) -> None:
    async with run_slack():
        shared = await slack.say("look", user=CLEO, channel=IMAGINE, files=files)
        await slack.message_shortcut("recipe", shared, user=BEN)
        await seen(slack, says(words), viewer=BEN)


async def test_what_the_filter_blocks_is_not_told(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack():
        await said(slack, "filter add harbour measure=block category=violence")
        shared = await slack.say(
            "look", user=CLEO, channel=IMAGINE, files=[("night.png", picture(A1111))]
        )
        await slack.message_shortcut("recipe", shared, user=BEN)
        await seen(slack, says("does not let people read"), viewer=BEN)


def test_the_menu_has_it() -> None:
    shortcuts = {one["callback_id"]: one for one in manifest()["features"]["shortcuts"]}
    assert shortcuts["recipe"]["type"] == "message"
