"""/imagine settings: dialogs over the wire."""

import pytest

from standins.slack.loopback import LoopbackSlack
from standins.slack.views import View
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.slack.test_running import (
    ADA,
    BEN,
    CLEO,
    IMAGINE,
    MIA,
    ask,
    has_pictures,
    says,
    seen,
)
from tests.fakes import FakePipeline


async def dialog(slack: LoopbackSlack, text: str = "settings", *, user: str = BEN) -> View:
    before = slack.view_of(user)
    await ask(slack, text, user=user)
    await slack.until(lambda: slack.view_of(user) not in {None, before})
    view = slack.view_of(user)
    assert view is not None
    return view


async def test_ones_own_word_is_heard_before_the_channels_and_the_workspaces(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    pipeline = FakePipeline(SIZES)
    async with run_slack(lambda: pipeline):
        view = await dialog(slack, "settings workspace", user=ADA)
        await slack.submit(view, {"settings": "steps: 7\ncount: 2"}, user=ADA)
        shown = await seen(slack, says("*This server's*: 7 steps · 2 pictures"), viewer=ADA)
        view = await dialog(slack, "settings channel", user=ADA)
        await slack.submit(view, {"settings": "count: 3", "private": "no"}, user=ADA)
        await seen(slack, says("*This channel's*: 3 pictures"), viewer=ADA)
        view = await dialog(slack)
        filled = {"settings": "steps: 3", "negative_prompt": "<!here> *dogs*", "spoiler": "yes"}
        await slack.submit(view, filled, user=BEN)
        shown = await seen(slack, says("*Yours*: 3 steps"), viewer=BEN)
        assert "<!here>" not in str(shown)
        assert "*dogs*" not in str(shown)
        await ask(slack, "x")
        await seen(slack, lambda m: has_pictures(m) and ".blurred" in str(m))
        await ask(slack, "x", user=CLEO)
        await seen(slack, lambda m: has_pictures(m) and ".blurred" not in str(m))
    mine, others = pipeline.requests
    assert (mine.num_inference_steps, mine.num_images) == (3, 3)
    assert mine.negative_prompt == "<!here> *dogs*"
    assert (others.num_inference_steps, others.num_images) == (7, 3)
    async with run_slack():  # and after a restart
        view = await dialog(slack)
        values = {one["block_id"]: one["element"] for one in view.blocks}
        assert values["settings"]["initial_value"] == "steps: 3"
        assert values["spoiler"]["initial_option"]["value"] == "yes"
        await slack.submit(
            view, {"settings": None, "negative_prompt": None, "spoiler": "open"}, user=BEN
        )
        # What was left open is as the channel and the workspace have it.
        await seen(slack, lambda m: says("7 steps")(m) and not says("*Yours*")(m), viewer=BEN)


async def test_a_channels_word_counts_in_its_threads(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    pipeline = FakePipeline(SIZES)
    async with run_slack(lambda: pipeline):
        view = await dialog(slack, "settings channel", user=ADA)
        await slack.submit(view, {"settings": "count: 1"}, user=ADA)
        await seen(slack, says("*This channel's*: 1 picture"), viewer=ADA)
        said = await slack.say("look", user=BEN, channel=IMAGINE)
        text = f"<@{slack.world.bot_user_id}> a fox"
        await slack.say(text, user=BEN, channel=IMAGINE, thread_ts=said["ts"])
        await seen(slack, has_pictures)
    (request,) = pipeline.requests
    assert request.num_images == 1


@pytest.mark.parametrize("who", [BEN, MIA])
@pytest.mark.parametrize("whose", ["channel", "workspace"])
async def test_only_who_manages_the_workspace_opens_its_dialog(
    slack: LoopbackSlack, run_slack: RunBot, whose: str, who: str
) -> None:
    async with run_slack():
        await ask(slack, f"settings {whose}", user=who)
        await seen(slack, says("Only those who manage this server"), viewer=who)
        assert slack.view_of(who) is None


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("seed: 3", "belongs to one wish alone"),
        ("model: gone", "no model gone"),
        ("lora: gone", "no LoRA gone"),
    ],
)
async def test_what_cannot_be_usual_is_said(
    slack: LoopbackSlack, run_slack: RunBot, lines: str, words: str
) -> None:
    async with run_slack():
        await slack.submit(await dialog(slack), {"settings": lines}, user=BEN)
        await seen(slack, says(words), viewer=BEN)
