"""Pictures for one person alone."""

import asyncio
from collections.abc import Sequence

from bot.core.card import Rows, Slot
from bot.homes.slack import render
from bot.homes.slack.calls import INVALID_BLOCKS, Calls, code_of, translated
from bot.homes.slack.intake import Asked, Intake
from bot.homes.slack.uploads import PROCESSING, Uploads
from bot.shared.retry import Sleep, persist


class Shows:
    """Uploads them, and shows them in an answer that others do not see."""

    def __init__(self, calls: Calls, intake: Intake, *, sleep: Sleep = asyncio.sleep) -> None:
        self._calls = calls
        self._intake = intake
        self._sleep = sleep

    async def alone(
        self, asked: Asked, slots: Sequence[Slot], rows: Rows = (), *, anew: bool = True
    ) -> None:
        """Show some of a job's pictures, with what may be pressed below them.

        anew  beside what is there; else in the place of what was pressed, which they alone see

        Raises AwayError, UndeliveredError.
        """
        voice = await self._intake.voice(asked)
        uploads = Uploads(self._calls)

        async def show() -> None:
            files = {
                one.filename: await uploads.id_of(
                    one.filename, one.data or b"", render.file_alt_text(one, voice)
                )
                for one in slots
            }
            blocks = [render.picture(one, files[one.filename], voice) for one in slots]
            blocks += render.rows(rows, voice)
            place = asked.place
            said = {"text": voice.plain(slots[0].alt_text), "blocks": blocks}
            if place is None or not anew:
                await self._calls.respond(
                    asked.response_url,
                    {**said, "response_type": "ephemeral", "replace_original": not anew},
                )
                return
            await self._calls.make(
                "chat.postEphemeral",
                place.channel,
                user=asked.user,
                thread_ts=place.thread,
                **said,
            )

        try:
            await persist(
                show,
                "pictures for one alone",
                is_passing=lambda error: code_of(error) in {None, INVALID_BLOCKS},
                backoff=PROCESSING,
                sleep=self._sleep,
            )
        except Exception as error:
            raise translated(error) from error
