"""Discord's own description of its API, held against what the loopback takes and answers."""

import json
import re
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from standins.base.wire import Json
from standins.discord import LoopbackDiscord
from standins.discord.forms import PAYLOAD
from standins.discord.middleware import API_PATH

DESCRIPTION = Path(__file__).parents[4] / "shared" / "discord" / "openapi.json"


class Contract:
    """Checks bodies against the description; `breaches` says what did not fit."""

    def __init__(self) -> None:
        self.breaches: list[str] = []
        self.checked = 0
        self._document: Json = _as_any_of(json.loads(DESCRIPTION.read_text()))
        schemas = self._document["components"]["schemas"]
        schemas["SnowflakeType"] = {"type": ["string", "integer"], "pattern": "^[0-9]+$"}
        # The errors of single fields carry names such as BASE_TYPE_REQUIRED, whatever is said here.
        schemas["Error"]["properties"]["code"] = {"type": ["integer", "string"]}
        # It is older than media channels.
        schemas["ChannelTypes"]["anyOf"].append({"title": "GUILD_MEDIA", "const": 16})
        resource = DRAFT202012.create_resource(self._document)
        self._registry = Registry().with_resource("urn:discord", resource)
        self._templates = [
            (re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path)), path)
            for path in sorted(self._document["paths"], key=lambda path: path.count("{"))
        ]

    def watch(self, loopback: LoopbackDiscord) -> None:
        """Check everything that goes in and out from its start on."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = await handler(request)
            if request.path.startswith(API_PATH) and response.status < 500:
                assert isinstance(response, web.Response)
                self._check(request, response)
            return response

        loopback.app.middlewares.insert(0, check)

    def _check(self, request: web.Request, response: web.Response) -> None:
        path = request.path.removeprefix(API_PATH)
        template = next((path_ for form, path_ in self._templates if form.fullmatch(path)), "")
        operation = self._document["paths"].get(template, {}).get(request.method.lower())
        if operation is None:
            if response.status not in {404, 405}:
                self.breaches.append(f"{request.method} {path}: not Discord's")
            return
        here = f"{request.method} {template}"
        at = ["paths", template, request.method.lower()]
        if response.status < 300 and PAYLOAD in request:
            self._validate(
                f"{here} request",
                [*at, "requestBody", "content", request.content_type, "schema"],
                request[PAYLOAD],
            )
        status = str(response.status)
        if status not in operation["responses"]:
            status = f"{status[0]}XX"
        if response.status == 204:
            return
        assert response.headers["Content-Type"] == "application/json"
        described = operation["responses"][status]
        at = [*at, "responses", status]
        if "$ref" in described:
            at = described["$ref"].removeprefix("#/").split("/")
        assert isinstance(response.body, bytes)
        body = json.loads(response.body)
        self._validate(f"{here} {status}", [*at, "content", "application/json", "schema"], body)

    def _validate(self, what: str, at: list[str], body: object) -> None:
        self.checked += 1
        pointer = "/".join(part.replace("~", "~0").replace("/", "~1") for part in at)
        pointer = pointer.replace("{", "%7B").replace("}", "%7D")
        schema = {"$ref": f"urn:discord#/{pointer}"}
        validator = Draft202012Validator(schema, registry=self._registry)
        for error in validator.iter_errors(body):
            deepest = error
            while deepest.context:
                deepest = max(deepest.context, key=lambda inner: len(inner.absolute_path))
            place = "/".join(map(str, deepest.absolute_path))
            self.breaches.append(f"{what}: {place}: {deepest.message[:300]}")


def _as_any_of(node: Any) -> Any:
    """The description's oneOf unions overlap, so one match or more is a match."""
    if isinstance(node, dict):
        return {"anyOf" if k == "oneOf" else k: _as_any_of(v) for k, v in node.items()}
    return [_as_any_of(item) for item in node] if isinstance(node, list) else node
