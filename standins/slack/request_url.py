"""The app's request URL: what it is told is sent there, signed, and acked by the answer.

docs.slack.dev/apis/events-api ("Retries") and, of the signature,
docs.slack.dev/authentication/verifying-requests-from-slack
"""

import asyncio
import hmac
import json
import secrets
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import aiohttp

from standins.base.faults import Faults
from standins.base.timers import Timers
from standins.base.wire import Json, parse_json
from standins.slack.changes import Changes
from standins.slack.envelopes import ACK_DEADLINE_S, Envelope

_FORM: Final = "application/x-www-form-urlencoded"
_AGENT: Final = "Slackbot 1.0 (+https://api.slack.com/robots)"
_KNOCK_S: Final = 0.02
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back.

    reason    why it counts as a failure, in Slack's words; empty: it does not
    no_retry  whether the app asked not to be sent this again
    """

    reason: str = ""
    text: str = ""
    no_retry: bool = False


class RequestUrl:
    """Sends what the app is told to one address of its."""

    def __init__(
        self, url: str, signing_secret: str, timers: Timers, faults: Faults, changes: Changes
    ) -> None:
        self._url = url
        self._signing_secret = signing_secret
        self._timers = timers
        self._faults = faults
        self._changes = changes
        self._delivering: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self.is_answering = False

    @property
    def unacknowledged(self) -> int:
        """How many things are on their way, or will be sent again."""
        return len(self._delivering)

    def send(self, envelope: Envelope) -> None:
        """Send it, in a request of its own."""
        task = asyncio.create_task(self._deliver(envelope), name="delivery to the request URL")
        self._delivering.add(task)
        task.add_done_callback(self._delivering.discard)

    async def verify(self) -> bool:
        """Whether the app repeats a challenge, as it must before Slack takes its URL."""
        challenge = secrets.token_urlsafe(24)
        asked = {"type": "url_verification", "token": "", "challenge": challenge}
        answer = await self._in_time(self._post(json.dumps(asked), "application/json", {}))
        self.is_answering = not answer.reason and challenge in {answer.text, _named(answer.text)}
        self._changes.happened()
        return self.is_answering

    async def wait_verified(self) -> None:
        """Wait until it does."""
        while not await self.verify():  # noqa: ASYNC110 - what will listen there tells nobody
            await asyncio.sleep(_KNOCK_S)

    async def close(self) -> None:
        """Send nothing more."""
        for task in self._delivering:
            task.cancel()
        await asyncio.gather(*self._delivering, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _deliver(self, envelope: Envelope) -> None:
        reason = ""
        while True:
            answer = await self._attempt(envelope, reason)
            payload = None if answer.reason else _payload_of(envelope, answer.text)
            if payload is not None:
                envelope.ack(payload)
                break
            reason = answer.reason
            again_in_s = None if answer.no_retry else envelope.again_in_s()
            if again_in_s is None:
                envelope.on_failure()
                break
            if again_in_s:
                self._changes.happened()
                await self._timers.sleep(again_in_s)
        self._delivering.discard(asyncio.current_task())
        self._changes.happened()

    async def _attempt(self, envelope: Envelope, reason: str) -> _Answer:
        """Send it once.

        reason  why it was not heard the time before
        """
        headers = {}
        if envelope.attempts:
            headers = {
                "X-Slack-Retry-Num": str(envelope.attempts),
                "X-Slack-Retry-Reason": reason,
            }
        envelope.attempts += 1
        fault = self._faults.on_gateway("ENVELOPE")
        if fault is not None and fault.kind == "silence":
            return await self._in_time(_nothing())
        answer = await self._in_time(self._post(*_encoded(envelope), headers))
        return answer if fault is None else _Answer("connection_failed")

    async def _in_time(self, asking: Coroutine[None, None, _Answer]) -> _Answer:
        """What comes of it before the time for an ack is over."""
        task = asyncio.create_task(asking)

        def end() -> None:
            task.cancel()

        timer = self._timers.after(ACK_DEADLINE_S, end)
        self._changes.happened()
        try:
            await asyncio.wait([task])
        finally:
            timer.cancel()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return _Answer("http_timeout") if task.cancelled() else task.result()

    async def _post(self, body: str, content_type: str, headers: dict[str, str]) -> _Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        now = str(int(time.time()))
        signed = f"v0:{now}:{body}".encode()
        signature = hmac.digest(self._signing_secret.encode(), signed, "sha256").hex()
        sent = {
            "Content-Type": content_type,
            "User-Agent": _AGENT,
            "X-Slack-Request-Timestamp": now,
            "X-Slack-Signature": f"v0={signature}",
            **headers,
        }
        try:
            posting = self._session.post(
                self._url, data=body.encode(), headers=sent, allow_redirects=False
            )
            async with posting as response:
                text = await response.text()
        except (aiohttp.ClientError, OSError):
            return _Answer("connection_failed")
        no_retry = response.headers.get("X-Slack-No-Retry") == "1"
        return _Answer("" if response.status == _OK else "http_error", text, no_retry)


async def _nothing() -> _Answer:
    await asyncio.Event().wait()
    return _Answer()


def _encoded(envelope: Envelope) -> tuple[str, str]:
    """The body as Slack sends it, and of what type it is."""
    if envelope.type == "events_api":
        return json.dumps(envelope.payload), "application/json"
    if envelope.type == "slash_commands":
        return urlencode(envelope.payload), _FORM
    return urlencode({"payload": json.dumps(envelope.payload)}), _FORM


def _payload_of(envelope: Envelope, text: str) -> Json | None:
    """What the app said with its ack; None: nothing that Slack understands."""
    if not text or not envelope.answerable:
        return {}
    try:
        payload = parse_json(text)
    except ValueError:
        # To a command an app may answer with a text as it is.
        return {"text": text} if envelope.type == "slash_commands" else None
    return payload if isinstance(payload, dict) else None


def _named(text: str) -> object:
    """The challenge in an answer that is JSON."""
    try:
        answer = parse_json(text)
    except ValueError:
        return None
    challenge = answer.get("challenge") if isinstance(answer, dict) else None
    return challenge if isinstance(challenge, str) else None
