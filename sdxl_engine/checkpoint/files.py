"""Opening the files of a model folder, which somebody else has made.

Under a name that the engine opens there may be anything: a pipe, at which a reader waits for ever;
a device, which never ends; a link to something that is not the model's. So only a file is opened,
and only one within the folder. Links within it are followed, and those of a snapshot in Hugging
Face's cache also into the rest of its repository's folder there, where the files themselves are.
"""

import io
import os
import stat
from pathlib import Path
from typing import Final

# Of one JSON file, or of the header of one weight file. SDXL's longest is a tokenizer.json of 4 MB,
# the header of its UNet has 250 KB, and what trainers and mergers tell about themselves in a header
# is a few MB at worst. The worst of this length is parsed in about a second.
MAX_JSON_BYTES: Final = 8 * 2**20
_KINDS: Final = {
    stat.S_IFBLK: "device",
    stat.S_IFCHR: "device",
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}


def check_file(folder: Path, path: Path) -> None:
    """Raise OSError unless `path` is a file of the model `folder`; opens nothing."""
    target, home = (Path(os.path.realpath(place)) for place in (path, folder))
    repository = home.parent.parent
    if home.parent.name == "snapshots" and repository.name.startswith("models--"):
        home = repository
    if not target.is_relative_to(home):
        raise OSError(f"it is a link to {target}, which is not in the model's folder")
    _check_kind(path.stat())


def open_file(path: Path) -> io.BufferedReader:
    """Open a file to be read; raises OSError for whatever is none."""
    _check_kind(path.stat())  # before it is opened: some devices act on that
    # And afterwards: what it has become meanwhile may be a pipe, at which this would wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(descriptor, "rb")
    try:
        _check_kind(os.fstat(descriptor))
    except OSError:
        file.close()
        raise
    return file


def read_file(folder: Path, path: Path) -> bytes:
    """A short file of the model `folder`; raises OSError, also for a long one."""
    check_file(folder, path)
    with open_file(path) as file:
        content = file.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise OSError(f"it is longer than {MAX_JSON_BYTES:,} bytes")
    return content


def reason(error: Exception) -> str:
    """What went wrong, without the number and the path that an OSError adds."""
    return getattr(error, "strerror", None) or str(error)


def _check_kind(facts: os.stat_result) -> None:
    kind = stat.S_IFMT(facts.st_mode)
    if kind != stat.S_IFREG:
        raise OSError(f"it is a {_KINDS.get(kind, 'special thing')}, not a file")
