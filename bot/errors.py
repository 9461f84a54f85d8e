"""Every error the bot raises on purpose, beside the engine's own.

BotError
├── ConfigError        config.toml or the environment is wrong; names the key, the place, the mend
├── OutputError        pictures cannot be written where they should go
├── LoginError         Discord refuses this bot; trying again cannot help
├── PlaygroundError    the playground cannot start, or its one command ended without pictures
└── JobRefusedError    this job is not taken now: the line is full, or the bot is stopping

`str(error)` is a sentence for a person: what happened, and what to do next.
"""


class BotError(Exception):
    """Base of everything below."""


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
