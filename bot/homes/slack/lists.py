"""What one person reads alone: their jobs, and how long it takes."""

import time
from typing import Final

from bot.core import card, crowd_lines
from bot.core.card import Moment
from bot.core.studio import Listed, Studio
from bot.homes.slack import render
from bot.homes.slack.buttons import action_id
from bot.homes.slack.intake import Asked, Intake
from bot.homes.slack.voice import Voice, shown
from sdxl_engine.sentence import say

_LISTED: Final = 8
_MAX_PROMPT_CHARS: Final = 100
_BUTTONS: Final = 5


class Lists:
    """Shows them."""

    def __init__(self, studio: Studio, intake: Intake) -> None:
        self._studio = studio
        self._intake = intake

    async def show_jobs(self, asked: Asked) -> None:
        """The latest jobs of the one who asks."""
        actor, voice = await self._intake.actor(asked), await self._intake.voice(asked)
        jobs = await self._studio.list_of(actor.person, asked.community, limit=_LISTED)
        if not jobs:
            nothing = voice.say(
                say("You have asked for nothing here yet. Type /imagine and say what to draw.")
            )
            await self._intake.tell(asked, nothing)
            return
        now_s = time.time()
        blocks = [render.section(_line(one, now_s, voice)) for one in jobs]
        actions = [action for one in jobs for action in card.actions_of(one.record)][:_BUTTONS]
        if actions:
            buttons = [
                render.button(
                    voice.plain(one.label),
                    # Several of a kind stand beside each other, and every id is another's.
                    action_id(one.kind, place),
                    f"{one.job_id}:",
                )
                for place, one in enumerate(actions)
            ]
            blocks.append({"type": "actions", "elements": buttons})
        await self._intake.tell(asked, voice.say(say("Your jobs")), blocks)

    async def show_queue(self, asked: Asked) -> None:
        """How many wait, and how long what is usual takes."""
        actor, voice = await self._intake.actor(asked), await self._intake.voice(asked)
        crowd = await self._studio.crowd(actor.person)
        lines = crowd_lines.lines(crowd, time.time())
        await self._intake.tell(asked, "\n".join(map(voice.say, lines)))


def _line(listed: Listed, now_s: float, voice: Voice) -> str:
    record, job = listed.record, listed.record.job
    state = voice.say(card.listed(record, listed.position, now_s))
    prompt = render.cut(" ".join(job.wish.prompt.split()), _MAX_PROMPT_CHARS)
    head = f"`{job.id}` {shown(Moment(int(job.asked_at_s)))} · {state}"
    return f"{head}\n{render.harmless(prompt)}"
