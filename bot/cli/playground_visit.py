"""One /imagine over the wire without a browser: a person's part, played by the program."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bot.errors import PlaygroundError
from bot.homes.discord.render import FAILURE_MARK, is_preview
from bot.shared.files import output_folder, write_picture
from standins.discord.errors import CommandRefused, InteractionFailed
from standins.discord.loopback import LoopbackDiscord

Message = dict[str, Any]


async def imagine_once(
    loopback: LoopbackDiscord,
    options: Mapping[str, object],
    folder: Path,
    *,
    on_card: Callable[[str], None],
) -> list[Path]:
    """Type /imagine, wait for its pictures, save them.

    options  of the command, by name
    folder   gets the attachments under their own names
    on_card  told the card's first line whenever the card changes

    Returns the paths. Raises PlaygroundError with the sentence that a person would have read.
    """
    output_folder(folder)
    await loopback.wait_ready()
    await loopback.wait_commands()

    def over(message: Message) -> bool:
        content = str(message["content"])
        if _pictures(message):
            return True
        if content:
            on_card(content.splitlines()[0])
        return content.startswith(FAILURE_MARK)

    try:
        interaction = await loopback.slash("imagine", options)
        message = await interaction.until(over)
    except (CommandRefused, InteractionFailed) as error:
        raise PlaygroundError(str(error)) from error
    if not _pictures(message):
        raise PlaygroundError(message["content"].removeprefix(FAILURE_MARK).strip().splitlines()[0])
    paths = []
    for attachment in _pictures(message):
        path = folder / attachment["filename"]
        write_picture(path, loopback.attachment_bytes(int(attachment["id"])))
        paths.append(path)
    return paths


def _pictures(message: Message) -> list[dict[str, Any]]:
    return [file for file in message["attachments"] if not is_preview(file["filename"])]
