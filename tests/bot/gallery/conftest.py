"""Wherever a gallery keeps its bytes, it does the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.gallery.folder import Folder
from bot.gallery.gallery import ObjectGallery
from bot.gallery.objects import Objects
from tests.fakes import card_of


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    """Where they are."""
    return Folder(tmp_path / "pictures")


@pytest.fixture
def gallery(objects: Objects) -> Iterator[ObjectGallery]:
    """A gallery of these."""
    made = ObjectGallery(objects, card_of)
    yield made
    made.close()
