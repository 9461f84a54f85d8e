"""Log lines on standard error: plain or JSON, each with the job it belongs to, never a token."""

import json
import logging
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, TextIO

from bot.shared.job_context import current_job
from bot.shared.secret import Secret

_HIDDEN: Final = "<hidden>"
# Belt and braces: nothing of ours logs a token, but a library's debug line or traceback may.
_TOKENS: Final = (
    (re.compile(r"(/(?:webhooks|interactions)/\d+/)[\w.-]+"), rf"\1{_HIDDEN}"),
    (re.compile(r"(['\"]token['\"]:\s*['\"])[^'\"]+"), rf"\1{_HIDDEN}"),
    (re.compile(r"(\bBot )[\w-]+\.[\w-]+\.[\w-]+"), rf"\1{_HIDDEN}"),
    (re.compile(r"\bxox[a-z]-[\w-]+|\bxapp-[\w-]+"), _HIDDEN),
    (re.compile(r"(/(?:commands|actions|workflows)/T\w+/\d+/)\w+"), rf"\1{_HIDDEN}"),
    (re.compile(r"\b[\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,}"), _HIDDEN),
)


class LineFormatter(logging.Formatter):
    """One record as one text, with everything that looks like a token hidden.

    as_json  a JSON object a line, else plain text
    secrets  hidden wherever they stand, whatever they look like
    """

    def __init__(self, *, as_json: bool = False, secrets: Sequence[Secret] = ()) -> None:
        super().__init__()
        self._as_json = as_json
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines where there is a traceback."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        job_id = current_job()
        message = record.getMessage()
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        if self._as_json:
            parts = {
                "at": at,
                "level": record.levelname.lower(),
                "logger": record.name,
                "job": job_id,
                "message": self._redact(message),
                "traceback": self._redact(trace),
            }
            return json.dumps({key: value for key, value in parts.items() if value})
        job = f" [{job_id}]" if job_id else ""
        line = f"{at} {record.levelname:<7} {record.name}{job} {message}"
        return self._redact(f"{line}\n{trace}" if trace else line)

    def _redact(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret.reveal(), _HIDDEN)
        for pattern, hidden in _TOKENS:
            text = pattern.sub(hidden, text)
        return text


# Warnings at every start: of discord.py about packages for voice, which nobody needs, and of bolt
# that it takes the token from our client, as it is meant to.
OF_NO_USE: Final = ("voice will NOT be supported", "`token` will be unused")


def set_up(
    level: str,
    *,
    as_json: bool = False,
    secrets: Sequence[Secret] = (),
    stream: TextIO | None = None,
) -> None:
    """Send every log line of the process to one handler; a second call replaces the first.

    level   "debug", "info", "warning" or "error"
    stream  standard error if None
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LineFormatter(as_json=as_json, secrets=secrets))
    handler.addFilter(lambda record: not any(one in record.getMessage() for one in OF_NO_USE))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # At "debug" it writes what it sends: the headers hold a session's token.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    if level != "debug":
        # Libraries tell at "info" what only their authors want to know.
        for name in (
            "jax",
            "huggingface_hub",
            "httpx",
            "aiohttp.access",
            "discord",
            "slack_bolt",
            "slack_sdk",
        ):
            logging.getLogger(name).setLevel(logging.WARNING)
