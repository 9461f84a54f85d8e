"""What a person is shown of a job that is not over: where it stands, with all that may be said."""

from dataclasses import dataclass

from sdxl_engine.request import Images


@dataclass(frozen=True, slots=True)
class Waiting:
    """In the queue; the place is looked up when it is shown, for it changes with every other job.

    warming_up  the engine is not ready yet
    restored    it was in the queue before a restart of the bot
    """

    warming_up: bool = False
    restored: bool = False


@dataclass(frozen=True, slots=True)
class Drawing:
    """On the device; `step` of `num_inference_steps` are done.

    previews  what the pictures are becoming, small; none before the first steps
    restored  an engine drew it before this process, or this bot, had it
    """

    step: int
    num_inference_steps: int
    previews: Images = ()
    restored: bool = False


@dataclass(frozen=True, slots=True)
class Uploading:
    """Drawn; the files are made and sent."""


@dataclass(frozen=True, slots=True)
class Paused:
    """Kept until something is mended; `sentence` says what."""

    sentence: str


@dataclass(frozen=True, slots=True)
class InReview:
    """Drawn; a moderator decides whether it is shown."""


Stage = Waiting | Drawing | Uploading | InReview | Paused
