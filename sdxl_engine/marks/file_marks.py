"""What anybody's file says beside its pixels of where the picture comes from."""

import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

from sdxl_engine.marks.xmp import TRAINED_MODEL, source_in
from sdxl_engine.pictures import worker_environment

TIMEOUT_S: Final = 20.0
_LOGGED_CHARS: Final = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ContentCredentials:
    """What a file's C2PA manifest says, and whether that can be believed.

    state      C2PA's word: "Valid" (whole, but of a signer whom nobody here vouches for), "Trusted"
               or "Invalid"
    problems   C2PA's codes for what is wrong, such as "assertion.dataHash.mismatch"
    signed_by  the name in the signer's certificate
    issuer     whose that certificate says the signer is
    program    what made the manifest
    sources    where it says the picture comes from, addresses of IPTC
    """

    state: str
    problems: tuple[str, ...] = ()
    signed_by: str | None = None
    issuer: str | None = None
    program: str | None = None
    sources: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether picture and manifest are as they were signed."""
        return self.state in {"Valid", "Trusted"}


@dataclass(frozen=True, slots=True)
class FileMarks:
    """What was found beside the pixels.

    source       the address of the source that XMP names
    credentials  None if there are none
    unread       whether the file could not be read to its end, or not at all
    """

    source: str | None = None
    credentials: ContentCredentials | None = None
    unread: bool = False

    @property
    def says_model(self) -> bool:
        """Whether XMP says that a trained model made the picture."""
        return self.source == TRAINED_MODEL


def marks_in(data: bytes, *, timeout_s: float = TIMEOUT_S) -> FileMarks:
    """Look into a PNG, JPEG or WebP file, in a process of its own; asks no network.

    Takes a tenth of a second and more: not to be called on an event loop.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "sdxl_engine.marks.file_marks_worker"],
            input=data,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env=worker_environment(),
        )
    except subprocess.TimeoutExpired:
        return FileMarks(unread=True)
    if done.returncode:
        said = done.stderr.decode(errors="replace")[-_LOGGED_CHARS:]
        log.warning("a file's reader ended with %d: %s", done.returncode, said)
        return FileMarks(unread=True)
    told = json.loads(done.stdout)
    found = told["credentials"]
    credentials = None
    if found is not None:
        lists = {name: tuple(found.get(name, ())) for name in ("problems", "sources")}
        credentials = ContentCredentials(**{**found, **lists})
    return FileMarks(source_in(told["xmp"]), credentials, told["unread"])
