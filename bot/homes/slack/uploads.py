"""Files on their way to Slack: nobody sees one until a message names it."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bot.errors import AwayError, BotError, UndeliveredError
from bot.homes.slack.calls import INVALID_BLOCKS, UNKNOWN_BLOCKS, Answer, Calls, code_of, named
from bot.shared.retry import Backoff
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

# Until Slack knows the files that it has just taken, and for what fails in passing.
PROCESSING: Final = Backoff(first_s=1.0, limit_s=5.0, attempts=12)
_PROCESSING_S: Final = 1.0  # until it may know one
_MOST_LOOKS: Final = 30  # at files with which it does not come to an end
# Of these, until it may be the block that does not take a file, whatever Slack says of the file.
_LOOKS_AT_NEW_BLOCKS: Final = 10
_BUSY: Final = "invalid slack file"  # as Slack says it of one that it does not know yet
_NOT_SHOWN: Final = say(
    "Slack took the pictures and cannot show them. `/imagine jobs` still has them."
)
_FILE_GONE: Final = frozenset({"file_not_found", "file_deleted"})


@dataclass(frozen=True, slots=True)
class Instead:
    """What says the same as blocks that not every workspace has.

    was_needed  told, once or more often, where Slack does not know those blocks
    """

    blocks: list[dict[str, Any]]
    was_needed: Callable[[], None]


@dataclass(slots=True)
class _Upload:
    """How far one file came.

    file_id  as Slack named it
    address  where its bytes go
    sent     all of them arrived
    doubtful that it is complete was said, and the answer was lost
    """

    file_id: str
    address: str
    sent: bool = False
    doubtful: bool = False
    complete: bool = False


class Uploads:
    """The files of one message: each is sent once, however often it is asked for."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._by_name: dict[str, _Upload] = {}
        self._looks = 0

    def know(self, files: Mapping[str, str]) -> None:
        """These are there already: ids by names."""
        for name, file_id in files.items():
            self._by_name.setdefault(name, _Upload(file_id, "", sent=True, complete=True))

    def __len__(self) -> int:
        return len(self._by_name)

    def take(self, beginning: str = "") -> list[str]:
        """Forget the files whose names begin so; returns the ids of those that are there."""
        names = [name for name in self._by_name if name.startswith(beginning)]
        taken = [self._by_name.pop(name) for name in names]
        return [one.file_id for one in taken if one.complete]

    def knows(self, name: str) -> bool:
        """Whether a file is there."""
        return name in self._by_name and self._by_name[name].complete

    def forget(self) -> None:
        """What was sent is of no use: send it anew."""
        self._by_name.clear()

    async def id_of(self, name: str, data: bytes, alt_text: str) -> str:
        """The id of a file that is there now; begun again it goes on where it ended.

        Raises what `Calls` raises.
        """
        upload = await self._sent(name, data, alt_text)
        if not upload.complete:
            await self._finish(name, upload)
        return upload.file_id

    async def show(
        self,
        method: str,
        channel: str,
        said: Mapping[str, object],
        instead: Instead | None = None,
    ) -> Answer:
        """Make a call whose blocks name files; `said` are its arguments.

        instead  of its blocks, where Slack does not know those: it did nothing for a call that it
                 refused, so the very same is said once more

        Raises what `Calls` raises; AwayError as long as Slack is busy with the files, and
        UndeliveredError where that has no end.
        """
        try:
            return await self._calls.make(method, channel, **said)
        except Exception as error:
            code = code_of(error)
            if code not in UNKNOWN_BLOCKS or not self._by_name:
                raise
            is_busy = _BUSY in named(error)
            if instead is None or (is_busy and self._looks < _LOOKS_AT_NEW_BLOCKS):
                if code != INVALID_BLOCKS:
                    raise
                raise self._busy(error) from error
            log.info("shown in other blocks, as Slack did not take these: %s", named(error))
            if not is_busy:
                instead.was_needed()
        answer = await self.show(method, channel, {**said, "blocks": instead.blocks})
        instead.was_needed()  # at the latest now it is clear
        return answer

    def _busy(self, error: Exception) -> BotError:
        self._looks += 1
        if self._looks > _MOST_LOOKS:
            log.warning("Slack does not come to an end with the files: %s", named(error))
            return UndeliveredError(_NOT_SHOWN)
        return AwayError(f"Slack is busy with the files: {named(error)}.", _PROCESSING_S)

    async def share(self, files: Mapping[str, bytes], channel: str, comment: str) -> None:
        """Show files, one at least, in a message of their own; as `id_of`."""
        uploads = {name: await self._sent(name, data, "") for name, data in files.items()}
        first = next(iter(uploads.values()))
        if first.doubtful and await self._is_there(first.file_id):
            return
        first.doubtful = True
        await self._calls.make(
            "files.completeUploadExternal",
            files=[{"id": one.file_id, "title": name} for name, one in uploads.items()],
            channel_id=channel,
            initial_comment=comment,
        )

    async def _sent(self, name: str, data: bytes, alt_text: str) -> _Upload:
        upload = self._by_name.get(name)
        if upload is None:
            got = await self._calls.make(
                "files.getUploadURLExternal",
                filename=name,
                length=len(data),
                alt_txt=alt_text or None,
            )
            upload = _Upload(str(got["file_id"]), str(got["upload_url"]))
            self._by_name[name] = upload
        if not upload.sent:
            try:
                await self._calls.send_file(upload.address, data)
            except AwayError:
                del self._by_name[name]  # the address may be what is wrong
                raise
            upload.sent = True
        return upload

    async def _finish(self, name: str, upload: _Upload) -> None:
        if upload.doubtful and await self._is_there(upload.file_id):
            upload.complete = True
            return
        upload.doubtful = True
        try:
            await self._calls.make(
                "files.completeUploadExternal", files=[{"id": upload.file_id, "title": name}]
            )
        except Exception as error:
            if code_of(error) is None:
                raise
            del self._by_name[name]  # begun anew it may be taken
            raise AwayError(f"Slack lost a file: {named(error)}.") from error
        upload.complete = True

    async def _is_there(self, file_id: str) -> bool:
        try:
            await self._calls.make("files.info", file=file_id)
        except Exception as error:
            if code_of(error) is None:
                raise
            return False
        return True


async def delete_file(calls: Calls, file_id: str) -> None:
    """Delete a file of the bot's, if it is there still; raises what `Calls` raises."""
    try:
        await calls.make("files.delete", file=file_id)
    except Exception as error:
        if code_of(error) not in _FILE_GONE:
            raise
