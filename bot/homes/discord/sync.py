"""Tells Discord the bot's commands, but only when they changed.

Discord takes 200 new commands a day and server, and a changed command is reloaded by every client.
What was told last is kept as a fingerprint in the storage folder.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import discord
from discord import app_commands

from bot.shared.files import write_atomically

log = logging.getLogger(__name__)

Size = tuple[int, int]
# Of each place, each command's id; a command that is told anew keeps it, a deleted one's is gone.
Ids = list[list[int]]


class CommandRecord:
    """What Discord was told last.

    path  the file it is kept in; None keeps it in memory, for a Discord that forgets as well
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._record: dict[str, Any] = {}
        if path is not None:
            with suppress(
                OSError, ValueError, TypeError
            ):  # none yet, or damaged: the commands are told anew
                self._record = dict(json.loads(path.read_text(encoding="utf-8")))

    @property
    def fingerprint(self) -> object:
        """The fingerprint, or None."""
        return self._record.get("fingerprint")

    @property
    def ids(self) -> object:
        """What Discord calls what it was told; see `sync_if_changed`."""
        return self._record.get("ids")

    def sizes(self, model: str) -> tuple[Size, ...]:
        """The sizes that /imagine offered for this model; a guess until the engine is warm."""
        try:
            if self._record["model"] == model:
                return tuple((int(width), int(height)) for width, height in self._record["sizes"])
        except (KeyError, TypeError, ValueError):
            pass
        return ()

    def write(
        self, fingerprint: str, model: str, sizes: Sequence[Size], ids: Ids | None = None
    ) -> None:
        """Keep what Discord now knows; raises OSError."""
        self._record = {
            "fingerprint": fingerprint,
            "model": model,
            "sizes": list(sizes),
            "ids": ids,
        }
        if self._path is not None:
            write_atomically(self._path, json.dumps(self._record).encode())


async def sync_if_changed(
    tree: app_commands.CommandTree[Any],
    guild_ids: Sequence[int],
    record: CommandRecord,
    *,
    model: str,
    sizes: Sequence[Size],
) -> bool:
    """Tell Discord the tree's commands if it does not know them; returns whether it was told.

    guild_ids  the servers that have them; empty is everywhere

    What it was told last is on record, and whether it still has that is looked up: somebody may
    have deleted them there. Raises discord.HTTPException, discord.app_commands.CommandSyncFailure,
    connection errors.
    """
    guilds = [discord.Object(guild_id) for guild_id in guild_ids]
    # With servers named, the commands for everywhere are told too: that there are none.
    places: list[discord.Object | None] = [None, *guilds]
    payload = [await _payload(tree, place) for place in places]
    known = json.dumps([tree.client.application_id, list(guild_ids), payload], sort_keys=True)
    fingerprint = hashlib.sha256(known.encode()).hexdigest()
    if fingerprint == record.fingerprint:
        there = [_ids(await tree.fetch_commands(guild=place)) for place in places]
        if there == record.ids:
            return False
    ids = [_ids(await tree.sync(guild=place)) for place in places]
    try:
        record.write(fingerprint, model, sizes, ids)
    except OSError as error:  # then they are told again at the next start
        log.warning("it could not be noted what Discord was told: %s", error)
    log.info("told Discord the commands")
    return True


async def _payload(
    tree: app_commands.CommandTree[Any], place: discord.Object | None
) -> list[dict[str, Any]]:
    """What `CommandTree.sync` would tell, in all languages."""
    commands, translator = tree.get_commands(guild=place), tree.translator
    if translator is None:
        return [command.to_dict(tree) for command in commands]
    return [await command.get_translated_payload(tree, translator) for command in commands]


def _ids(commands: Sequence[app_commands.AppCommand]) -> list[int]:
    return sorted(command.id for command in commands)
