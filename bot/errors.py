"""Every error the bot raises on purpose, beside the engine's own.

BotError
├── UsageError         a command is asked for in words that it does not know
├── ConfigError        config.toml or the environment is wrong; names the key, the place, the mend
├── OutputError        pictures cannot be written where they should go
├── LoginError         Discord refuses this bot; trying again cannot help
├── PlaygroundError    the playground cannot start, or its one command ended without pictures
├── JobRefusedError    this job is not taken now: a limit is reached, or the bot is stopping
├── LedgerError        what is on record cannot be read or written: a full disk, a damaged file
├── UnknownJobError    there is no job of that name
├── IllegalMoveError   the job is not in a state from which that could be done
├── KnownJobError      the same interaction was taken in before
├── PictureLostError   a finished picture is not on the disk as it was written
├── UndeliveredError   Discord has no place left where the pictures could be shown
└── EngineStuckError   the device does not answer; only a new process can help

`str(error)` is a sentence for a person: what happened, and what to do next.
"""


class BotError(Exception):
    """Base of everything below."""


class UsageError(BotError):
    """The command line cannot be understood as written."""


class ConfigError(BotError):
    """The configuration cannot be used as written."""


class OutputError(BotError):
    """The pictures cannot be written where they were asked for."""


class LoginError(BotError):
    """Discord refuses the token or what the bot asks for; final."""


class PlaygroundError(BotError):
    """The playground cannot start, or the command asked for brought no pictures."""


class JobRefusedError(BotError):
    """The job was not taken; nothing of it is kept."""


class LedgerError(BotError):
    """The ledger cannot be opened, read or written; nothing of what was tried is in it."""


class UnknownJobError(BotError):
    """There is no such job on record."""


class IllegalMoveError(BotError):
    """The job cannot go from its state into the one asked for; it stays as it is."""


class KnownJobError(BotError):
    """Discord has told of this interaction twice; the first time counts."""


class PictureLostError(BotError):
    """A picture's file is missing, or its bytes are not those that were written."""


class UndeliveredError(BotError):
    """The channel or the card is gone, or forbidden; trying again cannot help."""


class EngineStuckError(BotError):
    """The engine has given no sign of life for too long."""
