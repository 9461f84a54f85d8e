"""Whatever a call comes to: what somebody wanted is there once, or they are told why not."""

import ast
from pathlib import Path

import pytest

from bot.core import clerk
from bot.homes import slack as home
from bot.homes.slack import socket_mode
from standins.base.faults import Fault, RestKind
from standins.slack.loopback import LoopbackSlack
from tests.bot.conftest import RunBot
from tests.bot.homes.slack.matrix import OTHER_ROUTES, ROUTES, SCENES, row
from tests.bot.homes.slack.test_running import BEN, IMAGINE, ask, says, seen


@pytest.fixture(autouse=True)
def no_waits_of_the_clerk(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits a second where Slack is busy with a file; here it lets others go first."""
    monkeypatch.setattr(clerk, "_FIRST_WAIT_S", 0.0)


# A second or two each, some four: each call by each of six faults, some of which never end.
@pytest.mark.parametrize("scene", SCENES)
async def test_whatever_strikes_a_call_it_is_there_once_or_they_are_told_why_not(
    scene: str, tmp_path: Path
) -> None:
    found = await row(scene, tmp_path)
    assert found.problems == {}
    routes = {route for route, _ in found.calls}
    assert {route for route, of in ROUTES.items() if of == scene} <= routes


def test_no_call_of_the_home_is_left_out() -> None:
    """What its text names of the Web API's methods is in the table, and so are other addresses."""
    methods = LoopbackSlack().methods
    named = {
        str(node.value)
        for path in Path(home.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in methods
    }
    named.remove("oauth.v2.access")  # which test_rotation.py strikes
    assert {f"/{one}" for one in named} | OTHER_ROUTES == ROUTES.keys()


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "status", "rate_limit"])
@pytest.mark.parametrize(
    ("method", "nth"),
    [("auth.test", 1), ("apps.connections.open", 1), ("apps.connections.open", 2)],
)
async def test_whatever_strikes_the_login_it_comes_online(
    slack: LoopbackSlack,
    run_slack: RunBot,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    nth: int,
    kind: RestKind,
) -> None:
    monkeypatch.setattr(socket_mode, "_PING_S", 0.1)  # after which its library tries again
    fault = slack.faults.add(Fault(kind=kind, route=f"/{method}", nth=nth))
    async with run_slack():
        await ask(slack, "help")
        await seen(slack, says("Flags may follow"), viewer=BEN)
    assert fault.fired == 1
    assert len(slack.history(IMAGINE, viewer=BEN)) == 1
