"""Files: announced, uploaded, completed, and only then, a moment later, fit to be shown."""

import io
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from PIL import Image

from standins.base.wire import Json
from standins.slack.errors import ApiError
from standins.slack.world import Channel, Person, World

MAX_ALT_TEXT, MAX_FILENAME = 1_000, 255
MAX_TOGETHER: Final = 14  # of one call; one more is an internal_error: python-slack-sdk#1653
_SHOWN_TYPES: Final = frozenset({"png", "jpg", "gif"})
_MAGIC: Final = {
    b"\x89PNG\r\n\x1a\n": ("png", "image/png"),
    b"\xff\xd8\xff": ("jpg", "image/jpeg"),
    b"GIF8": ("gif", "image/gif"),
}
State = Literal["announced", "uploaded", "completed", "deleted"]


@dataclass(slots=True, eq=False)
class File:
    """One file.

    looks_left  how often it will still be found unprocessed: without its type, as
                slackapi/java-slack-sdk#1349 tells it from one that is ready
    shares      the messages that brought it, by channel
    given       somebody put it into a dialog of the app's
    """

    id: str
    user_id: str
    name: str
    length: int
    alt_txt: str = ""
    title: str = ""
    state: State = "announced"
    data: bytes = b""
    filetype: str = "binary"
    mimetype: str = "application/octet-stream"
    size_px: tuple[int, int] | None = None
    looks_left: int = 0
    created: int = field(default_factory=lambda: int(time.time()))
    shares: dict[str, list[str]] = field(default_factory=dict)
    given: bool = False

    def fill(self, data: bytes) -> None:
        """Take the bytes in, and see what they are."""
        self.data, self.state = data, "uploaded"
        webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
        found = (kind for magic, kind in _MAGIC.items() if data.startswith(magic))
        fallback = ("webp", "image/webp") if webp else (self.filetype, self.mimetype)
        self.filetype, self.mimetype = next(found, fallback)
        self.size_px = _size_px(data) if self.mimetype.startswith("image/") else None

    def look(self) -> bool:
        """Whether it is processed by now, as whoever looks finds it."""
        if self.looks_left:
            self.looks_left -= 1
            return False
        return True


class Files:
    """All files of the workspace.

    processing_looks  how often a freshly completed one is still found unprocessed
    """

    def __init__(self, world: World, processing_looks: int) -> None:
        self._world = world
        self._processing_looks = processing_looks
        self._files: dict[str, File] = {}
        self._tickets: dict[str, File] = {}

    def announce(self, name: str, length: int, alt_txt: str) -> tuple[File, str]:
        """A file that the bot is about to upload, and where to; raises ApiError."""
        if len(alt_txt) > MAX_ALT_TEXT:
            raise ApiError("alt_txt_too_large")
        if not name or len(name) > MAX_FILENAME:
            message = (
                "must be more than 0 characters" if not name else "must be less than 256 characters"
            )
            raise ApiError("invalid_arguments", [f"{message} [json-pointer:/filename]"])
        if length < 1:
            raise ApiError("invalid_arguments", ["must be greater than 0 [json-pointer:/length]"])
        if length > self._world.max_file_bytes:
            raise ApiError("file_upload_size_restricted")
        file = File(self._world.new_id("F"), self._world.bot_user_id, name, length, alt_txt, name)
        self._files[file.id] = file
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = file
        return file, f"{self._world.base_url}/upload/{ticket}"

    def awaited(self, ticket: str) -> File | None:
        """The file that may be uploaded with this ticket."""
        file = self._tickets.get(ticket)
        return file if file is not None and file.state in {"announced", "uploaded"} else None

    def complete(self, titles: Sequence[tuple[str, str | None]]) -> list[File]:
        """Finish uploads, all of them or none; raises ApiError."""
        if len(titles) > MAX_TOGETHER:
            raise ApiError("internal_error")
        files = [self._files.get(file_id) for file_id, _ in titles]
        ready = [one for one in files if one is not None and one.state == "uploaded"]
        # Slack says that a file can be completed once, and no more: it is not found again.
        if len(ready) < len(titles) or len({file.id for file in ready}) < len(ready):
            raise ApiError("file_not_found")
        for file, (_, title) in zip(ready, titles, strict=True):
            file.state, file.looks_left = "completed", self._processing_looks
            file.title = title or file.title
        return ready

    def add(self, person: Person, name: str, data: bytes, *, given: bool = False) -> File:
        """A person's own file, ready to be seen; `given` to the app in a dialog."""
        file = File(self._world.new_id("F"), person.id, name, len(data), title=name)
        file.fill(data)
        file.state, file.given = "completed", given
        self._files[file.id] = file
        return file

    def find(self, file_id: str) -> File:
        """The file, as the bot may know of it; raises ApiError."""
        file = self._files.get(file_id)
        if file is not None and file.state == "deleted":
            raise ApiError("file_deleted")
        if file is None or file.state != "completed" or not self.reached(file):
            raise ApiError("file_not_found")
        return file

    def any(self, file_id: str) -> File:
        """The file, whoever may see it; raises KeyError."""
        return self._files[file_id]

    def delete(self, file_id: str) -> None:
        """Delete a file of the bot's; raises ApiError."""
        file = self.find(file_id)
        if file.user_id != self._world.bot_user_id:
            raise ApiError("cant_delete_file")
        file.state, file.data = "deleted", b""

    def reached(self, file: File) -> bool:
        """Whether the bot may see it: its own, given to it, or shared where it is."""
        channels = (self._world.channels[channel_id] for channel_id in file.shares)
        own = file.user_id == self._world.bot_user_id
        return own or file.given or any(self._world.has_bot(channel) for channel in channels)

    def may_be_shown(self, named: Json) -> bool:
        """Whether a block may show the file that it names by {"id"} or {"url"}."""
        by_id, url = self._files.get(str(named.get("id"))), named.get("url")
        if "url" in named:
            by_id = next((f for f in self._files.values() if url in self._urls(f)), None)
        return (
            by_id is not None
            and by_id.state == "completed"
            and by_id.user_id == self._world.bot_user_id
            and by_id.filetype in _SHOWN_TYPES
            and by_id.look()
        )

    def _urls(self, file: File) -> tuple[str, str]:
        base, world = self._world.base_url, self._world
        place = f"{world.team_id}-{file.id}/{file.name}"
        return f"{base}/files/{place}", f"{base}/archives/files/{place}"

    def json(self, file: File, *, processed: bool = True) -> Json:
        """The file object."""
        if file.state == "deleted":
            return {"id": file.id, "mode": "tombstone"}
        url, permalink = self._urls(file)
        channels = [self._world.channels[channel_id] for channel_id in file.shares]
        shares: Json = {"public": {}, "private": {}}
        for channel in channels:
            kind = "public" if channel.kind == "channels" else "private"
            shares[kind][channel.id] = [{"ts": ts} for ts in file.shares[channel.id]]
        of_kind = _ids_by_kind(channels)
        told: Json = {
            "id": file.id,
            "created": file.created,
            "timestamp": file.created,
            "name": file.name,
            "title": file.title,
            "mimetype": file.mimetype if processed else "",
            "filetype": file.filetype if processed else "",
            "pretty_type": file.filetype.upper() if processed else "",
            "user": file.user_id,
            "user_team": self._world.people[file.user_id].team_id,
            "mode": "hosted",
            "editable": False,
            "is_external": False,
            "is_public": bool(of_kind["channels"]),
            "size": len(file.data),
            "url_private": url,
            "url_private_download": url + "?download=1",
            "permalink": permalink,
            "shares": {kind: by_channel for kind, by_channel in shares.items() if by_channel},
            "channels": of_kind["channels"],
            "groups": of_kind["groups"],
            "ims": of_kind["im"],
        }
        if file.alt_txt:
            told["alt_txt"] = file.alt_txt
        if processed and file.size_px is not None:
            told["original_w"], told["original_h"] = file.size_px
        return told


def _ids_by_kind(channels: Sequence[Channel]) -> dict[str, list[str]]:
    return {
        kind: [channel.id for channel in channels if channel.kind == kind]
        for kind in ("channels", "groups", "im")
    }


def _size_px(data: bytes) -> tuple[int, int] | None:
    try:
        # Opening reads the header alone; no pixel is decoded.
        with Image.open(io.BytesIO(data), formats=("PNG", "WEBP", "JPEG", "GIF")) as image:
            return image.size
    except (
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ):
        return None
