"""Bodies of requests, and what is said of those that are refused."""

import io
import json
from typing import Any

import aiohttp

from standins.base.wire import Json


def multipart(payload: Json, *files: tuple[str, bytes]) -> aiohttp.FormData:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("payload_json", json.dumps(payload))
    for place, (name, data) in enumerate(files):
        form.add_field(f"files[{place}]", io.BytesIO(data), filename=name)
    return form


def row(*components: Json) -> Json:
    return {"type": 1, "components": list(components)}


def button(custom_id: str = "v1:x:1", **more: Any) -> Json:
    return {"type": 2, "style": 1, "label": "x", "custom_id": custom_id, **more}


def first_error(body: Json, *path: str | int) -> str:
    node = body["errors"]
    for step in path:
        node = node[str(step)]
    code: str = node["_errors"][0]["code"]
    return code
