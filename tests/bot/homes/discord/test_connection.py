import socket

import aiohttp
import pytest

from bot.homes.discord.connection import reach_failure


async def test_a_refused_connection_is_said_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await session.get(f"http://127.0.0.1:{port}/")
    said = reach_failure(caught.value)
    assert said.startswith("127.0.0.1: ")
    assert "ConnectionKey" not in said


def test_an_error_without_words_is_named() -> None:
    assert reach_failure(TimeoutError()) == "TimeoutError"
