"""The one way for an error to become a sentence for a person."""

import logging

from bot.errors import BotError
from sdxl_engine.errors import EngineError
from sdxl_engine.sentence import say, sentence_of

log = logging.getLogger(__name__)


def our_fault(job_id: str) -> str:
    """What is told of what only the bot's owner can mend."""
    return say(
        "Something went wrong, and it has been noted. Ask again; if it stays, tell the bot's "
        "owner: job {job}.",
        job=job_id,
    )


def explain(error: BaseException, job_id: str) -> str:
    """What to tell the person; whatever is not the person's to mend is logged with its trace.

    job_id  what the bot's owner finds it by in the log
    """
    if isinstance(error, BotError | EngineError):
        cause = error.__cause__
        if cause is None or isinstance(cause, BotError | EngineError):
            log.info("refused: %s", error)
        else:
            log.error("failed: %s", error, exc_info=error)
        return sentence_of(error)
    log.error("failed: %r", error, exc_info=error)
    return our_fault(job_id)
