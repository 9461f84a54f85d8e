"""Pictures that people bring: from a file's bytes to what is seen. No jax here."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.picture_worker import HEADER, REFUSED, digest_of
from sdxl_engine.request import MAX_FILE_BYTES, GeneratedImage, Picture
from sdxl_engine.sentence import from_json, say

TIMEOUT_S: Final = 20.0  # 64 megapixels take 3 seconds on a slow core
_NEEDED: Final = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "LANG")
_LOGGED_CHARS: Final = 500

log = logging.getLogger(__name__)


def decode(data: bytes, *, timeout_s: float = TIMEOUT_S) -> Picture:
    """What a picture's file shows, upright and in sRGB, of an animation the first frame.

    Takes a tenth of a second and more, in a process of its own: not to be called on an event loop.
    What is larger than 4,096 pixels a side is shrunk; its hash is that of the whole. Raises
    InvalidRequestError.
    """
    if len(data) > MAX_FILE_BYTES:
        raise InvalidRequestError(
            say(
                "The picture's file has {size} MiB; {most} are the most. Send a smaller one.",
                size=len(data) >> 20,
                most=MAX_FILE_BYTES >> 20,
            )
        )
    try:
        done = subprocess.run(
            # Not from the folder where somebody stands (-P).
            [sys.executable, "-P", "-m", "sdxl_engine.picture_worker"],
            input=data,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            # What reads strangers' files need not know this process's secrets.
            env=worker_environment(),
        )
    except subprocess.TimeoutExpired:
        raise InvalidRequestError(
            say(
                "The picture took longer than {limit_s:g} s to read. Send it as PNG or JPEG, or a "
                "smaller one.",
                limit_s=timeout_s,
            )
        ) from None
    if done.returncode == REFUSED:
        raise InvalidRequestError(from_json(done.stdout.decode()))
    if done.returncode or len(done.stdout) < HEADER.size:
        said = done.stderr.decode(errors="replace")[-_LOGGED_CHARS:]
        log.warning("a picture's worker ended with %d: %s", done.returncode, said)
        raise InvalidRequestError(
            say(
                "The picture could not be read: it takes too much memory, or is damaged. Send it "
                "as PNG or JPEG, or a smaller one."
            )
        )
    digest, width_px, height_px = HEADER.unpack_from(done.stdout)
    return Picture(digest.hex(), width_px, height_px, done.stdout[HEADER.size :])


def worker_environment() -> dict[str, str]:
    """What a Python needs to find this package, and no more."""
    needed = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return needed | {"PYTHONPATH": os.pathsep.join(paths)}


def picture_of(image: GeneratedImage) -> Picture:
    """An image as a picture to start from: the same as its file, decoded."""
    levels = bytearray(b"\xff") * (image.width_px * image.height_px * 4)
    for channel in range(3):
        levels[channel::4] = image.rgb[channel::3]
    rgba = bytes(levels)
    digest = digest_of(image.width_px, image.height_px, rgba).hex()
    return Picture(digest, image.width_px, image.height_px, rgba)
