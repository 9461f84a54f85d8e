"""Pictures for one person alone."""

from collections.abc import Sequence

from bot.core.card import Rows, Slot
from bot.homes.slack import render
from bot.homes.slack.calls import Calls, translated
from bot.homes.slack.intake import Asked, Intake
from bot.homes.slack.private_words import send_once, send_surely
from bot.homes.slack.uploads import Uploads


class Shows:
    """Uploads them, and shows them in an answer that others do not see."""

    def __init__(self, calls: Calls, intake: Intake) -> None:
        self._calls = calls
        self._intake = intake

    async def alone(
        self, asked: Asked, slots: Sequence[Slot], rows: Rows = (), *, anew: bool = True
    ) -> None:
        """Show some of a job's pictures, with what may be pressed below them.

        anew  beside what is there; else in the place of what was pressed, which they alone see

        Raises AwayError, UndeliveredError.
        """
        voice = await self._intake.voice(asked)
        uploads = Uploads(self._calls)

        files: dict[str, str] = {}

        async def upload() -> None:
            for one in slots:
                alt_text = render.file_alt_text(one, voice)
                files[one.filename] = await uploads.id_of(one.filename, one.data or b"", alt_text)

        async def show() -> None:
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
            await send_surely(upload, sleep=self._calls.sleep)
            # What is in the place of another is there once, however often it is sent.
            send = send_once if anew else send_surely
            await send(show, sleep=self._calls.sleep)
        except Exception as error:
            raise translated(error) from error
