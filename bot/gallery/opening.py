"""Where pictures are kept, as it is configured."""

from pathlib import Path

from bot.gallery.bucket import Bucket
from bot.gallery.folder import Folder
from bot.gallery.objects import Objects
from bot.shared.data_folder import IMAGES


def objects_at(pictures: Path | str | None, folder: Path) -> Objects:
    """The place of pictures; raises ConfigError.

    pictures  as [storage] pictures: a folder, the address of a bucket; None: it is in `folder`
    """
    if isinstance(pictures, str):
        return Bucket(pictures)
    return Folder(pictures or folder / IMAGES)
