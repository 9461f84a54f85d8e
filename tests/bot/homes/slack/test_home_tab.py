"""The bot's own tab in Slack, over the wire."""

import io
from typing import Any

import pytest
from PIL import Image

from standins.base.faults import Fault, RestKind
from standins.slack.loopback import LoopbackSlack
from standins.slack.views import View
from tests.bot.conftest import RunBot
from tests.bot.homes.slack.test_running import (
    ADA,
    BEN,
    CLEO,
    ask,
    ended,
    has_pictures,
    is_kept,
    seen,
)

Block = dict[str, Any]


def files(view: View) -> list[str]:
    """The files that a view shows, large and small."""
    shown = [one.get("accessory", one) for one in view.blocks]
    return [one["slack_file"]["id"] for one in shown if "slack_file" in one]


async def tab(slack: LoopbackSlack, *words: str, user: str = BEN) -> View:
    """Somebody's tab, once it says all that."""

    def found() -> View | None:
        view = slack.home_view(user)
        if view is None:
            return None
        said = f"{view.private_metadata}{view.blocks}"
        return view if all(one in said for one in words) else None

    await slack.until(lambda: found() is not None)
    view = found()
    assert view is not None
    return view


async def press(slack: LoopbackSlack, view: View, label: str, user: str = BEN) -> None:
    """Press the first button that says that."""
    (button, *_) = (
        element
        for block in view.blocks
        for element in (*block.get("elements", ()), block.get("accessory", {}))
        if element.get("type") == "button" and label in element["text"]["text"]
    )
    await slack.press_in_view(view, button["action_id"], user=user, value=button["value"])


async def test_pictures_are_shown_a_page_at_a_time_and_liked_ones_beside(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        await slack.open_home(BEN)
        await tab(slack, "Nothing was drawn for you yet", "Nobody waits")
        for number, text in enumerate(("a fox", "a hen <!here>"), start=1):
            await ask(slack, text)
            await seen(slack, has_pictures, past=number - 1)
            await ended(bot)
        await slack.open_home(BEN)
        view = await tab(slack, "page 1", "Older")
        assert "Newer" not in str(view.blocks)
        assert len(files(view)) == 6
        for file_id in files(view):
            with Image.open(io.BytesIO(slack.file_bytes(file_id))) as picture:
                assert picture.format == "JPEG"
        before = set(slack._files._files)
        await press(slack, view, "Older")
        view = await tab(slack, "page 2", "Newer")
        assert len(files(view)) == 2
        await press(slack, view, "Newer")
        view = await tab(slack, "page 1")
        assert len(set(slack._files._files) - before) == 2  # each was sent once
        await press(slack, view, "Look")
        view = await tab(slack, "Larger", "Back")
        (large,) = files(view)
        with Image.open(io.BytesIO(slack.file_bytes(large))) as picture:
            assert picture.format == "PNG"
        await press(slack, view, "🤍 Like")
        view = await tab(slack, "Liked", "Back")
    async with run_slack():  # and after a restart
        await press(slack, view, "Back")
        view = await tab(slack, "page 1", "Older")
        await press(slack, view, "What you like")
        view = await tab(slack, '"tab": "liked:0"', "page 1", "Your pictures")
        assert len(files(view)) == 1
        assert "Older" not in str(view.blocks)


async def test_what_is_made_there_comes_into_ones_messages(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        await ask(slack, "a fox --private")
        await seen(slack, has_pictures, viewer=BEN)
        await ended(bot)
        await slack.open_home(BEN)
        await press(slack, await tab(slack, "Look"), "Look")
        view = await tab(slack, "Larger")
        assert "Only this one" not in str(view.blocks)  # there is nobody else here
        await press(slack, view, "Larger")
        await tab(slack, "come into your messages", "Larger")
        direct = slack.world.direct_message(BEN).id
        larger = await seen(slack, has_pictures, channel=direct, viewer=BEN)
        assert larger["viewer"] == BEN
        assert slack.home_view(CLEO) is None


async def test_settings_are_set_there(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack():
        await slack.open_home(BEN)
        view = await tab(slack, "Settings")
        assert "In the workspace" not in str(view.blocks)
        await press(slack, view, "What is usual for you")
        await slack.until(lambda: slack.view_of(BEN) is not None)
        dialog = slack.view_of(BEN)
        assert dialog is not None
        await slack.submit(dialog, {"settings": "steps: 3"}, user=BEN)
        await tab(slack, "*Yours*: 3 steps")
        await slack.open_home(ADA)
        await press(slack, await tab(slack, "Settings", user=ADA), "In the workspace", ADA)
        await slack.until(lambda: slack.view_of(ADA) is not None)


async def test_blurred_and_deleted_pictures(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack() as bot:
        await ask(slack, "a fox --spoiler --count 1")
        shown = await seen(slack, has_pictures)
        await ended(bot)
        await slack.open_home(BEN)
        view = await tab(slack, "Look")
        (small,) = files(view)
        with Image.open(io.BytesIO(slack.file_bytes(small))) as picture:
            assert len(set(picture.convert("L").resize((16, 16)).tobytes())) < 128
        await slack.press(shown, "v1:delete", user=BEN)
        await slack.until(lambda: not is_kept(slack, small))
        await press(slack, view, "Look")
        await tab(slack, "Nothing was drawn for you yet")


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "status", "rate_limit"])
@pytest.mark.parametrize("method", ["views.publish", "files.completeUploadExternal"])
async def test_it_is_shown_whatever_a_call_comes_to(
    slack: LoopbackSlack, run_slack: RunBot, method: str, kind: RestKind
) -> None:
    async with run_slack() as bot:
        await ask(slack, "a fox --count 1")
        await seen(slack, has_pictures)
        await ended(bot)
        fault = slack.faults.add(Fault(kind=kind, route=f"/{method}"))
        await slack.open_home(BEN)
        view = await tab(slack, "page 1", "Look")
        assert len(files(view)) == 1
        assert fault.fired == 1
