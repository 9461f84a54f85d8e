"""A token that ends after half a day: the bot has the next one in time, whatever comes between."""

import asyncio
import json
import logging
import stat
from functools import partial
from pathlib import Path

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.config.reading import SlackRotation
from bot.errors import LoginError
from bot.homes.slack.rotation import EARLY_S, Rotation, RotationSettings
from bot.operations.log import LineFormatter
from bot.shared.data_folder import SLACK_TOKEN
from bot.shared.secret import Secret
from standins.base.faults import Fault, RestKind
from standins.base.timers import ManualClock
from standins.slack.loopback import LoopbackSlack
from standins.slack.tokens import CLIENT_ID, CLIENT_SECRET, TOKEN_LIFE_S, Pair
from tests.bot.conftest import RunBot
from tests.bot.homes.slack.conftest import at_once
from tests.bot.homes.slack.test_running import IMAGINE, ask, ended, has_pictures, seen

APP = SlackRotation(Secret(CLIENT_ID), Secret(CLIENT_SECRET), Secret(""))


def of(pair: Pair) -> SlackRotation:
    return APP._replace(refresh_token=Secret(pair.refresh_token))


class Kept:
    """The file in which the bot keeps what Slack gave last."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def token(self) -> str:
        return str(json.loads(self.text)["token"])

    @property
    def mode(self) -> int:
        return stat.S_IMODE(self.path.stat().st_mode)

    def damage(self) -> None:
        self.path.write_text("{")


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "data" / SLACK_TOKEN)


class ByTheClock:
    """Waits for the loopback's clock where it is for long; else nobody waits."""

    def __init__(self, slack: LoopbackSlack) -> None:
        self._timers = slack.timers

    async def __call__(self, delay_s: float) -> None:
        await (self._timers.sleep(delay_s) if delay_s >= 60.0 else at_once(delay_s))


async def test_it_is_bought_at_the_first_start_and_kept_for_the_next(
    slack: LoopbackSlack, run_slack: RunBot, clock: ManualClock, kept: Kept
) -> None:
    pair = await slack.rotate_tokens()
    start = partial(
        run_slack, token=pair.token, rotation=of(pair), now=clock, sleep=ByTheClock(slack)
    )
    async with start() as bot:
        await ask(slack)
        shown = await seen(slack, has_pictures)
        await ended(bot)
        first = kept.token
        assert first != pair.token
        assert kept.mode == 0o600
    clock.advance(TOKEN_LIFE_S - EARLY_S - 1)  # what the environment holds has no use any more
    async with start():
        await slack.press(shown, "v1:reroll", user="U0CLEO0001")
        await seen(slack, has_pictures, past=1)
        assert kept.token == first
    clock.advance(TOKEN_LIFE_S)  # the bot was away when it ended
    async with start():
        await ask(slack)
        await seen(slack, has_pictures, past=2)
        assert kept.token != first


async def test_it_is_followed_by_the_next_two_hours_before_its_end(
    slack: LoopbackSlack, run_slack: RunBot, clock: ManualClock, kept: Kept
) -> None:
    pair = await slack.rotate_tokens()
    async with run_slack(
        token=pair.token, rotation=of(pair), now=clock, sleep=ByTheClock(slack)
    ) as bot:
        for number in range(3):
            before = kept.token
            clock.advance(TOKEN_LIFE_S - EARLY_S)
            while kept.token == before:
                await bot.app.ledger.find(limit=1)  # reading takes a thread's turn
            clock.advance(EARLY_S)  # that of before ends; nobody noticed
            await ask(slack)
            await seen(slack, has_pictures, past=number)
            await ended(bot)


async def test_one_that_ends_unforeseen_costs_no_call(
    slack: LoopbackSlack, run_slack: RunBot, clock: ManualClock
) -> None:
    pair = await slack.rotate_tokens()
    now_s = clock()
    async with run_slack(
        token=pair.token, rotation=of(pair), now=lambda: now_s, sleep=ByTheClock(slack)
    ) as bot:
        clock.advance(TOKEN_LIFE_S)  # by Slack's clock alone
        await ask(slack)
        await seen(slack, has_pictures)
        await ended(bot)
        assert len(slack.history(IMAGINE)) == 1


async def test_one_that_is_set_anew_wins(
    slack: LoopbackSlack,
    run_slack: RunBot,
    clock: ManualClock,
    kept: Kept,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = await slack.rotate_tokens()
    by_clock = ByTheClock(slack)
    async with run_slack(token=old.token, rotation=of(old), now=clock, sleep=by_clock):
        await ask(slack)
        await seen(slack, has_pictures)
    new = await slack.rotate_tokens()  # somebody installs the app anew
    async with run_slack(token=old.token, rotation=of(old), now=clock, sleep=by_clock) as bot:
        with pytest.raises(LoginError, match="SLACK_BOT_TOKEN"):
            await bot.task
    async with run_slack(token=new.token, rotation=of(new), now=clock, sleep=by_clock):
        await ask(slack)
        await seen(slack, has_pictures, past=1)
    kept.damage()  # which nobody can read: and the refresh token is spent
    async with run_slack(token=new.token, rotation=of(new), now=clock, sleep=by_clock) as bot:
        with pytest.raises(LoginError, match="SLACK_REFRESH_TOKEN"):
            await bot.task
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize("kind", ["status", "drop_before", "rate_limit"])
async def test_trouble_on_the_way_is_waited_out(
    slack: LoopbackSlack, run_slack: RunBot, clock: ManualClock, kind: RestKind
) -> None:
    for _ in range(2):
        slack.faults.add(Fault(kind=kind, route="/oauth.v2.access"))
    pair = await slack.rotate_tokens()
    async with run_slack(token=pair.token, rotation=of(pair), now=clock, sleep=ByTheClock(slack)):
        await ask(slack)
        await seen(slack, has_pictures)
    clock.advance(TOKEN_LIFE_S)
    for _ in range(2):
        slack.faults.add(Fault(kind=kind, route="/oauth.v2.access"))
    async with run_slack(token=pair.token, rotation=of(pair), now=clock, sleep=ByTheClock(slack)):
        await ask(slack)
        await seen(slack, has_pictures, past=1)


@pytest.mark.parametrize(
    ("rotation", "words"),
    [
        (APP._replace(client_id=Secret("1.2")), "SLACK_CLIENT_ID"),
        (APP._replace(client_secret=Secret("x")), "SLACK_CLIENT_SECRET"),
        (APP._replace(refresh_token=Secret("xoxe-1-other")), "SLACK_REFRESH_TOKEN"),
    ],
)
async def test_what_slack_refuses_is_final_and_says_what_to_do(
    slack: LoopbackSlack, run_slack: RunBot, rotation: SlackRotation, words: str
) -> None:
    pair = await slack.rotate_tokens()
    if not rotation.refresh_token:
        rotation = rotation._replace(refresh_token=Secret(pair.refresh_token))
    async with run_slack(token=pair.token, rotation=rotation) as bot:
        with pytest.raises(LoginError, match=words):
            await bot.task


async def test_an_answer_that_is_lost_takes_the_refresh_token_along(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    slack.faults.add(Fault(kind="drop_after", route="/oauth.v2.access"))
    pair = await slack.rotate_tokens()
    async with run_slack(token=pair.token, rotation=of(pair)) as bot:
        with pytest.raises(LoginError, match="its successor was lost"):
            await bot.task


async def test_refused_in_between_the_bot_goes_on_until_its_token_ends(
    slack: LoopbackSlack,
    run_slack: RunBot,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pair = await slack.rotate_tokens()
    start = partial(
        run_slack, token=pair.token, rotation=of(pair), now=clock, sleep=ByTheClock(slack)
    )
    refusal = {"ok": False, "error": "invalid_refresh_token"}
    async with start() as bot:
        slack.faults.add(Fault(kind="status", route="/oauth.v2.access", status=200, body=refusal))
        clock.advance(TOKEN_LIFE_S - EARLY_S)
        while "Install the app anew" not in caplog.text:
            await bot.app.ledger.find(limit=1)
        await ask(slack)
        await seen(slack, has_pictures)
        await ended(bot)
        assert not bot.task.done()


async def test_a_pair_that_cannot_be_kept_is_used_and_kept_later(
    slack: LoopbackSlack, clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pair = await slack.rotate_tokens()
    folder = tmp_path / "data"
    folder.write_text("no folder")
    client = AsyncWebClient(token=pair.token, base_url=slack.api_url, retry_handlers=[])
    settings = RotationSettings(*of(pair), folder / SLACK_TOKEN)
    waits: list[float] = []

    class WaitedError(Exception):
        pass

    async def sleep(delay_s: float) -> None:
        waits.append(delay_s)
        if len(waits) > 1:
            raise WaitedError
        folder.unlink()

    rotation = Rotation(client, settings, clock=clock, sleep=sleep)
    await rotation.begin()
    assert client.token != pair.token
    assert "cannot be kept" in caplog.text
    with pytest.raises(WaitedError):
        await rotation.keep()
    assert Kept(settings.path).token == client.token
    assert waits[0] < waits[1]
    again = AsyncWebClient(token=pair.token, base_url=slack.api_url, retry_handlers=[])
    await Rotation(again, settings, clock=clock).begin()
    assert again.token == client.token


async def test_nothing_of_it_is_to_be_read(
    slack: LoopbackSlack,
    run_slack: RunBot,
    clock: ManualClock,
    kept: Kept,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "slack_sdk")  # which our own log keeps quiet
    pair = await slack.rotate_tokens()
    async with run_slack(
        token=pair.token, rotation=of(pair), now=clock, sleep=ByTheClock(slack)
    ) as bot:
        await ask(slack)
        await seen(slack, has_pictures)
        await ended(bot)
    stored = json.loads(kept.text)
    formatter = LineFormatter(secrets=[APP.client_secret])
    text = "\n".join(map(formatter.format, caplog.records))
    settings = RotationSettings(*of(pair), kept.path)
    text += f"{settings!r}"
    assert "oauth.v2.access" in text
    for secret in (
        pair.token,
        pair.refresh_token,
        stored["token"],
        stored["refresh_token"],
        CLIENT_SECRET,
    ):
        assert secret not in text
    assert pair.refresh_token not in kept.text  # but what it is known by


async def test_bots_that_share_the_folder_buy_once_and_all_have_it(
    slack: LoopbackSlack, clock: ManualClock, kept: Kept
) -> None:
    pair = await slack.rotate_tokens()
    settings = RotationSettings(*of(pair), kept.path)
    at_once = asyncio.Event()
    at_once.set()
    bought = slack.faults.add(
        Fault(kind="latency", route="/oauth.v2.access", count=9, gate=at_once)
    )

    def bot() -> tuple[AsyncWebClient, Rotation]:
        client = AsyncWebClient(token=pair.token, base_url=slack.api_url, retry_handlers=[])
        return client, Rotation(client, settings, clock=clock)

    bots = [bot() for _ in range(3)]
    for number in range(1, 4):
        await asyncio.gather(*(rotation.begin() for _, rotation in bots))
        assert {client.token for client, _ in bots} == {kept.token}
        assert bought.fired == number
        clock.advance(TOKEN_LIFE_S - EARLY_S)
    # One whose token was ended elsewhere finds the one that another has bought meanwhile.
    await bots[0][1].begin()
    late, rotation = bots[1]
    slack.faults.add(
        Fault(
            kind="status",
            route="/auth.test",
            status=200,
            body={"ok": False, "error": "token_expired"},
        )
    )
    await rotation.call(late.auth_test)
    assert late.token == bots[0][0].token == kept.token
    assert bought.fired == 4
