"""A place where people are, as the core sees it: where they ask, and where they hear of their jobs.

A home is made before the studio and attends it afterwards, for each needs the other.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bot.core.case import AtDesk, Notice
from bot.core.job import Job, Origin, Record
from bot.core.ports.gallery import Picture
from bot.core.stage import Stage

if TYPE_CHECKING:  # the studio knows the homes by this protocol
    from bot.core.moderators import Moderators
    from bot.core.privacy import Privacy
    from bot.core.studio import Studio

# The pictures of a job for one try to show them; raises PictureLostError.
LendPictures = Callable[[], AbstractAsyncContextManager[tuple[Picture, ...]]]


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several connections over which a home tells this bot its part.

    latency_s   how long the home takes to answer there; None: not known now
    reconnects  how often it came back
    """

    id: int
    is_connected: bool
    latency_s: float | None
    reconnects: int


class Home(Protocol):
    """One chat system, with people in it."""

    @property
    def name(self) -> str:
        """As it stands in `Person.home`."""

    @property
    def is_online(self) -> bool:
        """Whether people's wishes reach the bot now, all that are for this one."""

    @property
    def stands_by(self) -> bool:
        """Whether other bots hear all that people wish, and this one waits to take a part over."""

    @property
    def shards(self) -> Sequence[Shard]:
        """Those that are this bot's; none where the home knows no such thing."""

    def attend(self, studio: "Studio", moderators: "Moderators", privacy: "Privacy") -> None:
        """Ask these for what people want, and those who keep order; once, before anything else."""

    async def run(self) -> None:
        """Let people ask, until `close`; raises LoginError if the home refuses for good."""

    async def offer(self, sizes: tuple[tuple[int, int], ...]) -> None:
        """Offer these sizes, width and height in pixels, from now on."""

    def show(self, job: Job, stage: Stage, *, at_once: bool = False) -> None:
        """Show where the job stands; called on the event loop, returns at once.

        A card that turns out to be deleted, or over, is told to `Studio.card_gone`, `card_over`.
        """

    def places_changed(self) -> None:
        """Somebody came, left or was begun: waiting jobs may stand elsewhere now."""

    async def deliver(self, job: Job, lend: LendPictures) -> None:
        """Show the pictures, and come back when they are seen.

        lend  gives them for one try; its turn and their memory are for others between two

        However often it is called, they are there once. Raises CardGoneError, CardOverError,
        UndeliveredError, PictureLostError.
        """

    async def tell(self, job: Job, sentence: str, *, takes_back: bool) -> None:
        """Say how the job ended, and come back when it is said or nobody can read it.

        takes_back  somebody stopped it: pictures that are shown already go. Else a card that shows
                    them is left as it is
        """

    async def apologize(self, origin: Origin, sentence: str, locale: str) -> None:
        """Say something where a wish was heard that no job came of.

        Comes back when it is said, or nobody can read it.
        """

    async def mention(self, job: Job) -> None:
        """Tell the one who asked, so that they notice, that the pictures are there. Tried once."""

    async def amend(self, record: Record) -> None:
        """Show a finished job's card as its record has it now: blurred, or without its pictures.

        However often it is called. Raises UndeliveredError, AwayError.
        """

    async def show_case(self, one: AtDesk, pictures: Sequence[Picture]) -> str:
        """Show a case at the desk as it is now; returns what its `message` is from now on.

        pictures  small, of its job

        However often it is called, it is there once. Raises UndeliveredError, AwayError.
        """

    async def notify(self, notice: Notice) -> None:
        """Tell somebody something alone.

        However often it is called, they are told once. Raises UndeliveredError, AwayError.
        """

    async def forget(self, job: Job) -> None:
        """Let go of the job's card as it is: nothing is to be said any more."""

    async def close(self, timeout_s: float) -> None:
        """Finish the last words, or give them up after so many seconds; go offline, end `run`."""
