"""ZIP files of a bounded size, filled one after the other."""

import io
import zlib
from typing import Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

_ENTRY_BYTES: Final = 30 + 46  # its head, and its line in the table of contents
_END_BYTES: Final = 22
_DAY: Final = (1980, 1, 1, 0, 0, 0)  # the same files make the same archive


class Archives:
    """Takes files as long as there is room.

    file_bytes   the most that one archive may have
    total_bytes  the most that all may have together
    count        the most archives
    """

    def __init__(self, *, file_bytes: int, total_bytes: int, count: int) -> None:
        self._file_bytes = file_bytes
        self._total_bytes = total_bytes
        self._count = count
        self._done: list[bytes] = []
        self._entries: list[tuple[ZipInfo, bytes]] = []  # of the one that is being filled
        self._used = _END_BYTES

    def add(self, name: str, data: bytes, *, packed: bool = False) -> bool:
        """Put a file in; False: there is no room for it anywhere.

        packed  make it smaller, which pictures are already
        """
        size = (
            _ENTRY_BYTES + 2 * len(name.encode()) + (len(_deflated(data)) if packed else len(data))
        )
        total = sum(map(len, self._done)) + self._used
        is_full = self._used + size > self._file_bytes
        if is_full and _END_BYTES + size > self._file_bytes:
            return False
        if total + size + (_END_BYTES if is_full else 0) > self._total_bytes:
            return False
        if is_full:
            if len(self._done) + 1 >= self._count:
                return False
            self._seal()
        info = ZipInfo(name, _DAY)
        info.compress_type = ZIP_DEFLATED if packed else ZIP_STORED
        self._entries.append((info, data))
        self._used += size
        return True

    def close(self) -> list[bytes]:
        """The archives, those with nothing in them left out."""
        self._seal()
        return self._done

    def _seal(self) -> None:
        # All at once: one that stays open, as where what is packed breaks off, is an error later.
        if self._entries:
            buffer = io.BytesIO()
            with ZipFile(buffer, "w") as archive:
                for info, data in self._entries:
                    archive.writestr(info, data)
            self._done.append(buffer.getvalue())
        self._entries = []
        self._used = _END_BYTES


def _deflated(data: bytes) -> bytes:
    """As a ZIP holds it."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()
