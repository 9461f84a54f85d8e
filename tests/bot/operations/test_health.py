"""The port that monitoring asks: whom it answers."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from bot.operations.health import HealthServer
from bot.operations.metrics import Metrics

PATHS = ("/livez", "/readyz", "/metrics")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = HealthServer(Metrics(), alive={}, ready={})
    await server.start(0)
    yield server.port
    await server.close()


async def status(port: int, path: str, headers: dict[str, str]) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}", headers=headers) as answer,
    ):
        return answer.status


@pytest.mark.parametrize("path", PATHS)
async def test_this_machine_is_answered(port: int, path: str) -> None:
    for headers in ({}, {"Host": f"localhost:{port}"}, {"Host": "127.0.0.1"}):
        assert await status(port, path, headers) == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "[::1]:80"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
async def test_another_name_and_another_page_get_nothing(
    port: int, path: str, headers: dict[str, str]
) -> None:
    assert await status(port, path, headers) == 403
