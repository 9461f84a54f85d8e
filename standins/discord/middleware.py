"""What goes for every API request: faults, rate limits, the token, refusals as JSON."""

import json
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from standins.base.faults import Fault, Faults
from standins.discord.errors import ApiError, Refusal
from standins.discord.ratelimits import RateLimits, too_many

API_PATH: Final = "/api/v10"

# An interaction's token is the key to these; they carry no bot token.
_WITHOUT_BOT_TOKEN: Final = ("/interactions/", "/webhooks/")
_ROUTER_REFUSALS: Final = {404: Refusal.NOT_FOUND, 405: Refusal.METHOD_NOT_ALLOWED}


def json_response(
    body: object, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """A JSON answer; clients want the content type to be exactly this, without a charset."""
    data = json.dumps(body, separators=(",", ":")).encode()
    return web.Response(body=data, status=status, headers=headers, content_type="application/json")


def api_middleware(token: str, faults: Faults, rate_limits: RateLimits | None) -> Middleware:
    """The outermost layer around the API's handlers; requests to other paths pass through."""

    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path.removeprefix(API_PATH)
        headers: dict[str, str] = {}
        try:
            if not path.startswith(_WITHOUT_BOT_TOKEN):
                _check_token(request, token)
            if rate_limits is not None:
                verdict = rate_limits.check(request.method, path)
                headers = verdict.headers
                if verdict.retry_after_s is not None:
                    return await _limited(
                        request, verdict.retry_after_s, headers, is_global=verdict.is_global
                    )
            response = await handler(request)
        except ApiError as error:
            response = json_response(error.body, error.status)
        except web.HTTPException as error:
            if error.status not in _ROUTER_REFUSALS:
                raise
            refusal = ApiError(_ROUTER_REFUSALS[error.status])
            response = json_response(refusal.body, refusal.status)
        response.headers.update(headers)
        return response

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(API_PATH + "/"):
            return await handler(request)
        fault = faults.on_request(request.method, request.path.removeprefix(API_PATH))
        if fault is None:
            return await guarded(request, handler)
        if fault.kind == "status":
            return await _answer_with(request, fault)
        if fault.kind == "rate_limit":
            return await _limited(request, fault.retry_after_s, {}, is_global=fault.is_global)
        if fault.kind == "latency":
            await faults.hold(fault)
        response = (
            web.Response() if fault.kind == "drop_before" else await guarded(request, handler)
        )
        if fault.kind == "status_after":
            return await _answer_with(request, fault)
        if fault.kind.startswith("drop") and request.transport is not None:
            request.transport.abort()
        return response

    return middleware


def _check_token(request: web.Request, token: str) -> None:
    if request.headers.get("Authorization") != f"Bot {token}":
        raise ApiError(Refusal.UNAUTHORIZED)


async def _answer_with(request: web.Request, fault: Fault) -> web.Response:
    await _drain(request)
    if isinstance(fault.body, str):
        return web.Response(
            body=fault.body.encode(),
            status=fault.status,
            headers=fault.headers,
            content_type=fault.content_type,
        )
    return json_response(fault.body, fault.status, dict(fault.headers))


async def _limited(
    request: web.Request, retry_after_s: float, headers: dict[str, str], *, is_global: bool
) -> web.Response:
    await _drain(request)
    body, told = too_many(retry_after_s, is_global=is_global)
    return json_response(body, 429, {**headers, **told})


async def _drain(request: web.Request) -> None:
    """Read the body away: an answer sent while the client still writes may not reach it."""
    async for _ in request.content.iter_any():
        pass
