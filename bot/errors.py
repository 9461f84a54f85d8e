"""Every error the bot raises on purpose, beside the engine's own.

BotError
├── UsageError         a command is asked for in words that it does not know
├── ConfigError        config.toml or the environment is wrong; names the key, the place, the mend
├── OutputError        pictures cannot be written where they should go
├── LoginError         a home refuses this bot; trying again cannot help
├── PlaygroundError    the playground cannot start, or its one command ended without pictures
├── JobRefusedError    this job is not taken now: a limit is reached, or the bot is stopping
├── LedgerError        what is on record cannot be read or written: a full disk, a locked file
│   └── LedgerLostError  what was on record is gone or damaged, all of it or the end
├── GalleryError       pictures cannot be stored, fetched or deleted now: a full disk, a store away
├── UnknownJobError    there is no job of that name
├── IllegalMoveError   the job is not in a state from which that could be done
├── NotAllowedError    that is somebody else's to do
├── WrongPlaceError    that cannot be done there: nobody offers it, or pictures cannot be shown
├── KnownJobError      the same event was taken in before
├── PictureLostError   a finished picture is not on the disk as it was written
├── UndeliveredError   there is no place left where the pictures could be shown
│   ├── CardGoneError  the job's card was deleted
│   └── CardOverError  the job's card tells its end already
├── NoRecipeError      a file is no picture, or says nothing of how it was drawn
├── AwayError          a home cannot be reached, or not now; the same may succeed later
├── EngineGoneError    the engine of a pool that had a job is gone
└── EngineStuckError   the device does not answer; only a new process can help

`str(error)` is a sentence for a person: what happened, and what to do next. What people in a chat
read can be said in their language, too (`sdxl_engine.sentence`). What only operators read is plain
English: the first five and KnownJobError, a ledger that cannot be opened, refusals of `imagine
jobs`.
"""

from sdxl_engine.errors import EngineError, JobCancelledError


class BotError(Exception):
    """Base of everything below."""


class UsageError(BotError):
    """The command line cannot be understood as written."""


class ConfigError(BotError):
    """The configuration cannot be used as written."""


class OutputError(BotError):
    """The pictures cannot be written where they were asked for."""


class LoginError(BotError):
    """A home refuses the token or what the bot asks for; final."""


class PlaygroundError(BotError):
    """The playground cannot start, or the command asked for brought no pictures."""


class JobRefusedError(BotError):
    """The job was not taken; nothing of it is kept.

    again_at_s  when it would be, in seconds since 1970; None: nobody knows
    repeatable  whether the very same may be taken another time
    """

    def __init__(
        self, sentence: str, again_at_s: float | None = None, *, repeatable: bool = True
    ) -> None:
        super().__init__(sentence)
        self.again_at_s = again_at_s
        self.repeatable = repeatable


class LedgerError(BotError):
    """The ledger cannot be opened, read or written; nothing of what was tried is in it."""


class LedgerLostError(LedgerError):
    """The ledger lost what was in it; a copy of it can help, or beginning with an empty one.

    found  what is wrong with it
    mend   what to do
    """

    def __init__(self, found: str, mend: str) -> None:
        super().__init__(f"{found} {mend}")
        self.found = found


class GalleryError(BotError):
    """A picture's file cannot be written, fetched or deleted now; it is as it was.

    found  what is wrong, and what to do, for whoever runs the bot
    """

    def __init__(self, sentence: str, *, found: str = "") -> None:
        super().__init__(sentence)
        self.found = found or sentence


class UnknownJobError(BotError):
    """There is no such job on record."""


class IllegalMoveError(BotError):
    """The job cannot go from its state into the one asked for; it stays as it is."""


class NotAllowedError(BotError):
    """Whoever wanted it may not do it; nothing has changed."""


class WrongPlaceError(BotError):
    """What somebody wants cannot be done where they want it; elsewhere it can."""


class KnownJobError(BotError):
    """A home has told of this event twice; the first time counts."""


class PictureLostError(BotError):
    """A picture's file is missing, or its bytes are not those that were written."""


class UndeliveredError(BotError):
    """The channel is gone, or forbidden; trying again cannot help."""


class CardGoneError(UndeliveredError):
    """Somebody deleted the job's card."""


class CardOverError(UndeliveredError):
    """The job's card tells its end, of which the ledger, restored from a copy, knows nothing."""


class NoRecipeError(BotError):
    """There is nothing to read of how a picture was drawn; another file of it may say more."""


class AwayError(BotError):
    """A home did not do what was wanted, and may do it later.

    retry_after_s  how long it wants to be left alone; 0 if it did not say
    may_come       it was not waited for any longer, and may yet be done
    """

    def __init__(
        self, sentence: str, retry_after_s: float = 0.0, *, may_come: bool = False
    ) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s
        self.may_come = may_come


class EngineGoneError(BotError):
    """The engine that had a job is gone, and what it had drawn with it; for the log.

    begun  whether it may have begun: then the job may be why
    """

    def __init__(self, sentence: str, *, begun: bool = True) -> None:  # pickle gives the sentence
        super().__init__(sentence)
        self.begun = begun


class EngineStuckError(BotError):
    """The engine has given no sign of life for too long.

    limit_s  how long it may be silent
    """

    def __init__(self, sentence: str, limit_s: float) -> None:
        super().__init__(sentence)
        self.limit_s = limit_s


class OldAttemptError(JobCancelledError):
    """Whoever asks has been overtaken: somebody else has the job, and draws it anew."""


class UnknownDrawingError(EngineError):
    """The engine draws no such thing, or did and has forgotten."""
