"""One place where every error of a command becomes a sentence for the one who asked."""

import logging

from discord import app_commands

from bot.errors import BotError
from sdxl_engine import EngineError

log = logging.getLogger(__name__)


def explain(error: Exception, job_id: str) -> str:
    """What to tell the person; whatever is not the person's to mend is logged with its trace."""
    if isinstance(error, app_commands.CommandInvokeError):
        error = error.original
    if isinstance(error, BotError | EngineError):
        cause = error.__cause__
        if cause is None or isinstance(cause, BotError | EngineError):
            log.info("refused: %s", error)
        else:
            log.error("failed: %s", error, exc_info=error)
        return str(error)
    if isinstance(error, app_commands.CommandNotFound | app_commands.CommandSignatureMismatch):
        log.warning("outdated command: %s", error)
        return "This command has changed. Restart Discord, then ask again."
    log.error("failed: %r", error, exc_info=error)
    return f"Something went wrong. Ask again; if it stays, tell the bot's owner: job {job_id}."
