"""Wherever a gallery keeps its bytes, it does the same."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from bot.gallery.bucket import Bucket
from bot.gallery.folder import Folder
from bot.gallery.gallery import ObjectGallery
from bot.gallery.objects import Objects
from tests.fakes import card_of

# `make test` needs no store, so what speaks with one may not be there.
collect_ignore = [] if find_spec("moto") else ["test_bucket.py"]


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.scale)])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """Where they are."""
    if request.param == "bucket":
        return Bucket(request.getfixturevalue("address"))
    return Folder(tmp_path / "pictures")


@pytest.fixture
def gallery(objects: Objects) -> Iterator[ObjectGallery]:
    """A gallery of these."""
    made = ObjectGallery(objects, card_of)
    yield made
    made.close()
