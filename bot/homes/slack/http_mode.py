"""Slack's HTTP mode: Slack sends what it tells to an address, each request signed.

https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

import asyncio
import json
import logging
import math
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from bot.errors import ConfigError
from bot.homes.slack.dispatch import Dispatch
from bot.homes.slack.manifest import PATH
from bot.shared.secret import Secret

log = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 2**20  # a message with fifty blocks has a quarter of it
_CLOSING_S: Final = 3.0  # Slack does not wait longer for an answer
_WARN_EVERY_S: Final = 600.0
_SIGNATURE: Final = "X-Slack-Signature"
_TIMESTAMP: Final = "X-Slack-Request-Timestamp"
_LOOKS_SIGNED: Final = re.compile(r"v0=[0-9a-f]{64}")
_ARRIVING_S: Final = 3.0  # Slack sends a request in one piece, and does not wait longer


class HttpMode:
    """Implements `WayIn`: listens where a proxy with TLS passes Slack's requests on to.

    host, port  where that is
    """

    tokens = "SLACK_BOT_TOKEN (xoxb-)"

    def __init__(self, signing_secret: Secret, host: str, port: int) -> None:
        self._signing_secret = signing_secret
        self._host, self._port = host, port
        self._warned_s = -math.inf
        self.is_open = False

    async def check(self, client: AsyncWebClient) -> None:
        """See `WayIn.check`; there is nothing to ask Slack for."""

    async def run(self, dispatch: Dispatch, client: AsyncWebClient, closing: asyncio.Event) -> None:
        """See `WayIn.run`; raises ConfigError where nothing can listen there."""
        del client  # nothing is asked of Slack
        app = web.Application(client_max_size=MAX_BODY_BYTES)

        async def take(request: web.Request) -> web.Response:
            return await self._take(dispatch, request)

        app.router.add_post(PATH, take)
        # As it was sent, or it is not what was signed.
        runner = web.AppRunner(
            app, access_log=None, auto_decompress=False, shutdown_timeout=_CLOSING_S
        )
        await runner.setup()
        try:
            await self._listen(runner)
            self.is_open = True
            log.info("Slack's requests are taken at %s:%d%s", self._host, self._port, PATH)
            await closing.wait()
        finally:
            self.is_open = False
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> None:
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as error:
            raise ConfigError(
                f"{self._host}:{self._port}, where Slack's requests should be taken, is in use or "
                "not of this machine. Set [slack] port or host to another, and have what stands "
                "before the bot pass them on to there."
            ) from error

    async def _take(self, dispatch: Dispatch, request: web.Request) -> web.Response:
        """Answer one request; raises web.HTTPException where it is none of Slack's, or failed."""
        looks_signed = _LOOKS_SIGNED.fullmatch(request.headers.get(_SIGNATURE, ""))
        # Of what does not even look like Slack's nothing is read.
        data = await _read(request) if looks_signed else b""
        if not looks_signed or not self._is_signed(data, request.headers):
            self._note_unsigned()
            raise web.HTTPUnauthorized(text="not signed\n")
        try:
            body = _body_of(data, request.content_type)
        except ValueError:
            raise web.HTTPBadRequest(text="not understood\n") from None
        # A request that is sent again as it was has the same signature.
        answer = await dispatch.tell(body, request.headers[_SIGNATURE])
        if answer is None:
            raise web.HTTPInternalServerError(text="not taken in\n")
        return web.json_response(answer) if answer else web.Response()

    def _is_signed(self, data: bytes, headers: Mapping[str, str]) -> bool:
        """Whether Slack has signed it, in the last five minutes."""
        verifier = SignatureVerifier(self._signing_secret.reveal())
        try:
            return verifier.is_valid(data, headers.get(_TIMESTAMP), headers.get(_SIGNATURE))
        except (ArithmeticError, TypeError, ValueError):
            return False  # no time, no text: it compares and counts whatever it is given

    def _note_unsigned(self) -> None:
        now_s = asyncio.get_running_loop().time()
        is_new = now_s - self._warned_s >= _WARN_EVERY_S  # anybody may knock, as often as they like
        if is_new:
            self._warned_s = now_s
        log.log(
            logging.WARNING if is_new else logging.DEBUG,
            "A request came to %s that is not signed with SLACK_SIGNING_SECRET, or is older than "
            "five minutes. If it was Slack's, copy the secret anew from the app's page, and look "
            "whether this machine's clock is right.",
            PATH,
        )


async def _read(request: web.Request) -> bytes:
    """All that was sent; raises web.HTTPException where it does not come, or is too much."""
    try:
        async with asyncio.timeout(_ARRIVING_S):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="too slow\n") from None
    except (OSError, aiohttp.ClientError, web.PayloadAccessError, web.RequestPayloadError):
        raise web.HTTPBadRequest(text="broken off\n") from None  # which nobody reads


def _body_of(data: bytes, content_type: str) -> dict[str, Any]:
    """What is told: JSON, a form with JSON in it, or a command's form; raises ValueError."""
    text = data.decode()
    if content_type != "application/json":
        form = dict(parse_qsl(text, keep_blank_values=True))
        if "payload" not in form:
            return dict(form)
        text = form["payload"]
    body = json.loads(text)
    if not isinstance(body, dict):
        raise ValueError("no object")  # noqa: TRY004 - of what came, not of how it was called
    return body
