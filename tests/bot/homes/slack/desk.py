"""What tests of keeping order in Slack share: who is who there, and what is typed and answered."""

from collections.abc import Callable
from typing import Any, Final

from bot.core.card import FAILURE_MARK
from bot.homes.slack import render
from standins.slack.invocations import Invocation
from standins.slack.loopback import LoopbackSlack
from tests.bot.homes.slack.test_running import ADA, IMAGINE, seen

Message = dict[str, Any]

MOD_LOG: Final = "G0MODLOG01"
GUS: Final = "U0GUEST001"


async def admin(
    slack: LoopbackSlack, text: str, *, user: str = ADA, channel: str = IMAGINE
) -> Invocation:
    """Somebody types one of the commands."""
    return await slack.slash("/imagine-admin", text, user=user, channel=channel)


async def answered(slack: LoopbackSlack, invocation: Invocation) -> str:
    """What the bot answers, to the one who asked alone."""
    await slack.until(lambda: bool(invocation.responses))
    (answer,) = invocation.responses
    assert answer["response_type"] == "ephemeral"
    return render.text_of(answer)


async def said(slack: LoopbackSlack, text: str, **who: str) -> str:
    """What the bot answers to a command that it does."""
    answer = await answered(slack, await admin(slack, text, **who))
    assert not answer.startswith(FAILURE_MARK), answer
    return answer


async def refused(slack: LoopbackSlack, text: str, **who: str) -> str:
    """Why the bot does not do it."""
    answer = await answered(slack, await admin(slack, text, **who))
    assert answer.startswith(FAILURE_MARK), answer
    return answer


async def with_desk(slack: LoopbackSlack) -> None:
    """Name the desk."""
    assert f"<#{MOD_LOG}>" in await said(slack, f"desk <#{MOD_LOG}|>")


async def at_desk(
    slack: LoopbackSlack, wanted: Callable[[Message], bool] = lambda _: True
) -> Message:
    """The first message at the desk of which that holds."""
    return await seen(slack, wanted, channel=MOD_LOG)


def direct_messages(slack: LoopbackSlack, user: str) -> list[Message]:
    """What the bot told somebody alone."""
    return slack.history(slack.world.direct_message(user).id)


async def sent_files(slack: LoopbackSlack, user: str, past: int = 0) -> dict[str, bytes]:
    """The files of a direct message, behind so many with files, by their names."""

    def found() -> list[Message]:
        return [one for one in direct_messages(slack, user) if one.get("files")][past:]

    await slack.until(lambda: bool(found()))
    return {one["name"]: slack.file_bytes(one["id"]) for one in found()[0]["files"]}
