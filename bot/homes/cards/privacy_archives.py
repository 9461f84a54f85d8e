"""All that is kept of a person, as ZIP files that fit what a home takes."""

import asyncio
from dataclasses import dataclass

from bot.core.job import Person
from bot.core.privacy import DATA, Privacy
from bot.shared.archive import Archives
from sdxl_engine.sentence import say, say_many


@dataclass(frozen=True, slots=True)
class Packed:
    """Files, and what is said with them, a sentence a line."""

    files: tuple[bytes, ...]
    lines: tuple[str, ...]

    def named(self) -> dict[str, bytes]:
        """The files by their names."""
        return {f"privacy-{number}.zip": data for number, data in enumerate(self.files, start=1)}


async def packed(privacy: Privacy, person: Person, archives: Archives) -> Packed:
    """Pack as much of it as there is room for in the archives; raises LedgerError."""
    left_out, has_data = 0, False
    async for name, data in privacy.exported(person):
        is_packed = not name.startswith("pictures/")
        has_room = await asyncio.to_thread(archives.add, name, data, packed=is_packed)
        left_out += not has_room
        has_data |= has_room and name == DATA
    files = tuple(await asyncio.to_thread(archives.close))
    if not left_out:
        return Packed(files, (say("This is all that is kept of you."),))
    what = say_many(
        "{count} picture did not fit into a message.",
        "{count} pictures did not fit into a message.",
        left_out,
    )
    if not has_data:
        what = say("It does not fit into a message.")
    way_out = say(
        "Whoever runs the bot can give you all of it: "
        "`imagine privacy export --home {home} {person}`.",
        home=person.home,
        person=person.id,
    )
    return Packed(files, (what, way_out))
