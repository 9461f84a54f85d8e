"""Where pictures are kept: as configured, and said where that cannot be."""

import sys
from pathlib import Path

import pytest

from bot.errors import ConfigError
from bot.gallery.bucket import Bucket
from bot.gallery.folder import Folder
from bot.gallery.opening import objects_at


@pytest.mark.parametrize(("pictures", "path"), [(None, "data/images"), ("shared", "shared")])
def test_a_folder_is_one_here_or_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: str | None, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    objects = objects_at(None if pictures is None else Path(pictures), Path("data"))
    assert isinstance(objects, Folder)
    objects.put("job/a", b"a")
    assert (tmp_path / path / "job/a").read_bytes() == b"a"


def test_without_what_a_bucket_takes_it_is_said_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ConfigError, match="make setup-scale"):
        objects_at("s3://pictures/of/mine", Path("data"))


@pytest.mark.scale
def test_an_address_is_a_bucket(address: str) -> None:
    bucket = objects_at(f"{address}/", Path("data"))
    assert isinstance(bucket, Bucket)
    bucket.put("job/a", b"a")
    assert Bucket(address).get("job/a") == b"a"
