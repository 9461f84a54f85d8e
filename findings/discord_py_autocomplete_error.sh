#!/usr/bin/env bash
# discord.py 2.7.1: when somebody types into an option of a command that the tree does not have (any more),
# `CommandTree.on_error` is called with the *autocomplete* interaction and CommandNotFound. An exception in an
# autocomplete callback of a command that is there is logged and goes no further: "it can't be handled
# anyway". So one would expect on_error to be about commands that somebody sent.
#
# What it means for a bot: an error handler that answers with a message answers somebody who is still
# typing, which Discord refuses; look at `interaction.type` first. It happens after each renaming, as
# clients know the old command for up to an hour.
#
# Seen: on_error with InteractionType.autocomplete and CommandNotFound; nothing for the callback that raises
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "discord.py==2.7.1"
cat >"$folder/paint.py" <<'PYTHON'
import asyncio

import discord
from discord import app_commands

seen: list[str] = []


class Tree(app_commands.CommandTree):
    async def on_error(self, interaction, error):
        seen.append(f"{interaction.type} {type(error).__name__}")


def typed(command: str) -> dict[str, object]:
    user = {"id": "2", "username": "somebody", "discriminator": "0", "avatar": None}
    option = {"name": "colour", "type": 3, "value": "r", "focused": True}
    return {
        "id": "1", "application_id": "3", "type": 4, "token": "token", "version": 1, "user": user,
        "channel": {"id": "5", "type": 1}, "entitlements": [], "authorizing_integration_owners": {},
        "attachment_size_limit": 1,
        "data": {"id": "4", "name": command, "type": 1, "options": [option]},
    }


async def main() -> None:
    client = discord.Client(intents=discord.Intents.none())
    client.loop = asyncio.get_running_loop()  # as `login` sets it
    tree = Tree(client)

    @tree.command(name="paint", description="Paint")
    async def paint(interaction: discord.Interaction, colour: str) -> None: ...

    @paint.autocomplete("colour")
    async def complete(interaction: discord.Interaction, current: str) -> list[object]:
        raise RuntimeError("the colours are gone")

    for command in ("paint", "draw"):
        interaction = discord.Interaction(data=typed(command), state=client._connection)
        before = asyncio.all_tasks()
        tree._from_interaction(interaction)
        await asyncio.gather(*(asyncio.all_tasks() - before))
    print(seen)
    assert seen == ["InteractionType.autocomplete CommandNotFound"], seen


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/paint.py" 2>"$folder/log"
