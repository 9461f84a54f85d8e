"""The whole, put together: what cannot begin says why, and what ends, ends whole."""

import asyncio
from pathlib import Path

import pytest

from bot.app import App
from bot.config.sections import Config, EngineConfig, HealthConfig
from bot.errors import LedgerError
from bot.gallery.gallery import ObjectGallery
from bot.shared.data_folder import IMAGES
from tests.bot.village import SIZES, Village
from tests.fakes import FakePipeline


def make_app(folder: Path) -> App:
    config = Config(engine=EngineConfig(sizes=SIZES), health=HealthConfig(port=0))
    return App(config, lambda: FakePipeline(SIZES), [Village], folder)


async def test_a_folder_that_another_bot_works_in_is_a_sentence(tmp_path: Path) -> None:
    first = make_app(tmp_path)
    await asyncio.to_thread(first.ledger.open)
    try:
        with pytest.raises(LedgerError, match="Another bot already works in the folder"):
            await make_app(tmp_path).run(asyncio.Event())
    finally:
        await asyncio.to_thread(first.ledger.close)


async def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LedgerError, match="cannot be used"):
        await make_app(tmp_path / "file" / "data").run(asyncio.Event())


async def test_a_home_that_cannot_be_closed_holds_nothing_else_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def close(_: Village, timeout_s: float) -> None:
        raise ValueError("a mistake")

    monkeypatch.setattr(Village, "close", close)
    app = make_app(tmp_path)
    with pytest.raises(ValueError, match="a mistake"):
        await app.run(asyncio.Event())
    assert not app.engine.is_alive
    again = make_app(tmp_path)
    await asyncio.to_thread(again.ledger.open)  # nobody holds the folder
    await asyncio.to_thread(again.ledger.close)


async def test_an_album_that_others_could_read_is_closed_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, real = asyncio.Event(), ObjectGallery.mend

    async def mend(self: ObjectGallery) -> None:
        await real(self)
        stop.set()

    monkeypatch.setattr(ObjectGallery, "mend", mend)
    folders = (tmp_path / IMAGES, tmp_path / IMAGES / "oldoldol")
    for folder in folders:
        folder.mkdir()
        folder.chmod(0o755)
    await make_app(tmp_path).run(stop)
    assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o700, 0o700]
