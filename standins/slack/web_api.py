"""The Web API's outer layer: arguments, token, scopes, limits, faults, and refusals as JSON."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from standins.base.faults import Fault, Faults
from standins.base.page import is_page
from standins.base.wire import Json, parse_json
from standins.slack.errors import ApiError, RateLimited
from standins.slack.limits import RateLimits
from standins.slack.world import World

API_PATH: Final = "/api"
_FORM: Final = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


class Arguments:
    """What a call was given, in its address, as a form or as JSON."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self.values = values

    def text(self, name: str) -> str | None:
        """A text, None where it was not given; raises ApiError."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ApiError("invalid_arguments", [f"must provide a string [json-pointer:/{name}]"])
        return str(value)

    def required(self, name: str) -> str:
        """A text that must be there; raises ApiError."""
        value = self.text(name)
        if not value:
            raise ApiError("invalid_arguments", [f"missing required field: {name}"])
        return value

    def number(self, name: str, default: int | None = None) -> int:
        """A whole number; raises ApiError where it must be there and is not."""
        value = self.text(name)
        if value is None and default is not None:
            return default
        try:
            return int(self.required(name))
        except ValueError:
            message = f"must provide an integer [json-pointer:/{name}]"
            raise ApiError("invalid_arguments", [message]) from None

    def flag(self, name: str) -> bool:
        """Whether something was switched on."""
        return str(self.values.get(name, "")).lower() in {"1", "true"}

    def json(self, name: str, error: str = "invalid_arguments") -> Any:  # noqa: ANN401 - any JSON
        """A structure, which a form carries as a text; None where it was not given.

        error  Slack's word where the text is no JSON; raises ApiError
        """
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if not value:
            return None
        try:
            return parse_json(value)
        except ValueError:
            raise ApiError(error) from None


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the Web API.

    answer     what it does and says
    scopes     of which the token needs all
    app_level  whether it takes the app's own token instead of the bot's
    tokenless  whether it takes none
    """

    answer: Callable[[Arguments], Json]
    scopes: tuple[str, ...] = ()
    app_level: bool = False
    tokenless: bool = False


class Tokens(Protocol):
    """The bot's tokens."""

    def is_one(self, token: str) -> bool:
        """Whether this is, or was, one."""

    def check(self, token: str) -> None:
        """Raise ApiError where its time is over."""


def need_scope(world: World, *scopes: str) -> None:
    """Raise ApiError where the bot's token was not granted one of them."""
    missing = [scope for scope in scopes if scope not in world.scopes]
    if missing:
        provided = ",".join(sorted(world.scopes))
        raise ApiError("missing_scope", needed=",".join(missing), provided=provided)


class WebApi:
    """Answers calls of the methods that it is given."""

    def __init__(
        self,
        world: World,
        methods: Mapping[str, Method],
        *,
        bot_tokens: Tokens,
        app_token: str,
        limits: RateLimits | None,
    ) -> None:
        self._world = world
        self._methods = methods
        self._bot_tokens = bot_tokens
        self._app_token = app_token
        self._limits = limits

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The handler of /api/{method}."""
        try:
            arguments = await _read(request)
            body = self._answer(request.match_info["method"], request, arguments)
        except ApiError as error:
            body = error.body
        except RateLimited as limited:
            return too_many(limited.retry_after_s)
        return json_response(body, headers={"X-OAuth-Scopes": ",".join(sorted(self._world.scopes))})

    def _answer(self, name: str, request: web.Request, arguments: Arguments) -> Json:
        method = self._methods.get(name)
        if method is None:
            raise ApiError("unknown_method", req_method=name)
        if not method.tokenless:
            self.check_token(request, arguments, app_level=method.app_level)
        if self._limits is not None:
            channel = str(arguments.values.get("channel", ""))
            self._limits.check(name, channel, is_internal=self._world.is_internal)
        need_scope(self._world, *method.scopes)
        return {"ok": True, **method.answer(arguments)}

    def check_token(
        self, request: web.Request, arguments: Arguments, *, app_level: bool = False
    ) -> None:
        """Raise ApiError unless the call carries the token that it needs."""
        header = request.headers.get("Authorization", "")
        token = header.removeprefix("Bearer ") if header else arguments.text("token")
        if not token:
            raise ApiError("not_authed")
        is_bots = self._bot_tokens.is_one(token)
        if not is_bots and token != self._app_token:
            raise ApiError("invalid_auth")
        if is_bots == app_level:
            raise ApiError("not_allowed_token_type")
        if is_bots:
            self._bot_tokens.check(token)
        if self._world.installation == "uninstalled":
            raise ApiError("account_inactive")
        if self._world.installation == "revoked" and not app_level:
            raise ApiError("token_revoked")


async def _read(request: web.Request) -> Arguments:
    """The arguments of a call, of which an app's name and secret may stand in the header.

    Raises ApiError.
    """
    values: dict[str, object] = {**_client(request), **request.query}
    if request.method != "POST":
        return Arguments(values)
    if request.content_type == "application/json":
        data = await request.read()
        try:
            payload = parse_json(data) if data else {}
        except ValueError:
            raise ApiError("invalid_json") from None
        if not isinstance(payload, dict):
            raise ApiError("json_not_object")
        return Arguments({**values, **payload})
    if request.content_type in _FORM:
        try:
            return Arguments({**values, **await request.post()})
        except ValueError:
            raise ApiError("invalid_form_data") from None
    if await request.read():
        raise ApiError("invalid_post_type")
    return Arguments(values)


def _client(request: web.Request) -> dict[str, str]:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Basic":
        return {}
    try:
        login, _, password = base64.b64decode(given, validate=True).decode().partition(":")
    except ValueError:
        return {}
    return {"client_id": login, "client_secret": password}


def json_response(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON answer."""
    data = json.dumps(body, separators=(",", ":")).encode()
    return web.Response(
        body=data, status=status, headers=headers, content_type="application/json", charset="utf-8"
    )


def too_many(retry_after_s: float) -> web.Response:
    """The 429."""
    body = {"ok": False, "error": "ratelimited"}
    return json_response(body, 429, {"Retry-After": str(max(1, round(retry_after_s)))})


def faulty(faults: Faults, *, spared: str) -> Middleware:
    """The layer that puts faults into every request but those to `spared` and those of the page.

    Routes of faults are below /api where the Web API is meant, such as "/chat.postMessage".
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path.removeprefix(API_PATH)
        if request.path == spared or is_page(request.path):
            return await handler(request)
        fault = faults.on_request(request.method, path)
        if fault is None:
            return await handler(request)
        if fault.kind == "status":
            return await _answer_with(request, fault)
        if fault.kind == "rate_limit":
            await request.read()
            return too_many(fault.retry_after_s)
        if fault.kind == "latency":
            await faults.hold(fault)
        dropped_unseen = fault.kind == "drop_before"
        response = web.Response() if dropped_unseen else await handler(request)
        if fault.kind == "status_after":
            return await _answer_with(request, fault)
        if fault.kind.startswith("drop") and request.transport is not None:
            request.transport.abort()
        return response

    return middleware


async def _answer_with(request: web.Request, fault: Fault) -> web.Response:
    await request.read()  # an answer sent while the client still writes may not reach it
    if isinstance(fault.body, str):
        return web.Response(
            body=fault.body.encode(),
            status=fault.status,
            headers=fault.headers,
            content_type=fault.content_type,
        )
    return json_response(fault.body, fault.status, fault.headers)
