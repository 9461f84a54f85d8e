"""The whole, put together: what cannot begin says why, and what ends, ends whole."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.app import App
from bot.config.sections import Config, EngineConfig, HealthConfig, StorageConfig
from bot.errors import LedgerError
from bot.gallery.bucket import Bucket
from bot.gallery.folder import Folder
from bot.gallery.gallery import ObjectGallery
from bot.gallery.objects import Objects
from bot.shared.data_folder import IMAGES
from tests.bot.village import SIZES, Village
from tests.fakes import FakeHome, FakePipeline


def make_app(folder: Path, pictures: Path | str | None = None) -> App:
    config = Config(
        engine=EngineConfig(sizes=SIZES),
        health=HealthConfig(port=0),
        storage=StorageConfig(pictures=pictures),
    )
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


async def test_a_stop_does_not_wait_for_a_store_that_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def mend(_: Folder) -> Iterator[None]:
        loop.call_soon_threadsafe(stop.set)
        go.wait(60)
        yield

    monkeypatch.setattr(Folder, "mend", mend)
    homes = [lambda _queue, _ledger, _bots: FakeHome()]
    app = App(Config(health=HealthConfig(port=0)), FakePipeline, homes, tmp_path)
    try:
        await app.run(stop)
        assert not app.engine.is_alive
        assert app.is_alive  # whoever ends the process has to know
    finally:
        go.set()
    while app.is_alive:
        await asyncio.to_thread(bool)  # a thread's turn


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


def check_pictures(app: App, objects: Objects, folder: Path) -> None:
    """They were shown, are kept there, and are nowhere else."""
    village = app.homes["village"]
    assert isinstance(village, Village)
    ((*_, card),) = village.board.values()
    (job_id,) = (one for one in objects.folders("") if not one.startswith("."))
    assert card.pictures is not None
    for slot in card.pictures:
        assert objects.get(f"{job_id}/{slot.filename}")
    assert len(card.pictures) == 4
    assert not (folder / IMAGES).exists()


async def test_pictures_are_kept_in_a_folder_elsewhere(tmp_path: Path) -> None:
    app = make_app(tmp_path / "data", tmp_path / "shared")
    await app.run(asyncio.Event())
    check_pictures(app, Folder(tmp_path / "shared"), tmp_path / "data")


@pytest.mark.scale
async def test_pictures_are_kept_in_a_bucket(tmp_path: Path, address: str) -> None:
    app = make_app(tmp_path, address)
    await app.run(asyncio.Event())
    check_pictures(app, Bucket(address), tmp_path)


async def test_a_place_of_pictures_that_cannot_be_used_is_found_before_anybody_asks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "shared").write_text("in the way")
    config = Config(
        health=HealthConfig(port=0), storage=StorageConfig(pictures=tmp_path / "shared")
    )
    app, stop = App(config, FakePipeline, [], tmp_path / "data"), asyncio.Event()
    stop.set()
    await app.run(stop)
    assert not app._worker.disk_is_writable
    assert f"no pictures can be kept yet: Nothing can be written to {tmp_path}" in caplog.text
