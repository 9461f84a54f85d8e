"""Files: announced, uploaded, completed, processed, shown, fetched, deleted."""

import io
from typing import Any

import aiohttp
import pytest
from PIL import Image
from slack_sdk.web.async_client import AsyncWebClient

from standins.slack import LoopbackSlack, ManualClock, default_world
from tests.standins.slack.app import (
    ADA,
    ARCHIVED,
    BEN,
    BOT_TOKEN,
    ELSEWHERE,
    GALLERY,
    IMAGINE,
    PNG,
    PRIVATE,
    completed,
    image,
    refused,
    uploaded,
)

INVALID = "invalid slack file [json-pointer:/blocks/0/slack_file]"


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 3)).save(out, kind)
    return out.getvalue()


async def show(client: AsyncWebClient, **slack_file: str) -> str:
    posted = await client.chat_postMessage(
        channel=IMAGINE, text="x", blocks=[image(slack_file=slack_file)]
    )
    return str(posted["ts"])


async def test_the_client_uploads_and_shares(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    shared: Any = await client.files_upload_v2(
        channel=IMAGINE,
        initial_comment="Look",
        file_uploads=[
            {"file": PNG, "filename": f"{n}.png", "title": f"No. {n}", "alt_txt": "a cat"}
            for n in range(4)
        ],
    )
    (seen,) = slack.history(IMAGINE)
    assert seen["text"] == "Look"
    assert [one["title"] for one in seen["files"]] == [f"No. {n}" for n in range(4)]
    assert seen["files"][0]["alt_txt"] == "a cat"
    assert slack.file_bytes(shared["files"][0]["id"]) == PNG
    assert shared["files"][0]["channels"] == []  # it is not known there at once
    told = await client.files_info(file=shared["files"][0]["id"])
    assert told["file"]["shares"]["public"][IMAGINE] == [{"ts": seen["ts"]}]
    assert told["file"]["channels"] == [IMAGINE]


async def test_a_file_is_processed_only_after_a_while(clock: ManualClock) -> None:
    slack = LoopbackSlack(clock=clock, rate_limits=False, processing_looks=2)
    await slack.start()
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(
            BOT_TOKEN, base_url=slack.api_url, session=session, retry_handlers=[]
        )
        file_id = await uploaded(client)
        done: Any = await client.files_completeUploadExternal(files=[{"id": file_id}])
        assert done["files"][0]["mimetype"] == ""
        assert (await client.files_info(file=file_id))["file"]["mimetype"] == ""
        with refused("invalid_blocks", INVALID):
            await show(client, id=file_id)
        ts = await show(client, id=file_id)
        told: Any = await client.files_info(file=file_id)
        assert told["file"]["mimetype"] == "image/png"
        assert (told["file"]["original_w"], told["file"]["original_h"]) == (2, 3)
        assert slack.message(IMAGINE, ts)["blocks"][0]["slack_file"] == {"id": file_id}
    await slack.close()


async def test_a_block_names_a_file_by_its_address_too(client: AsyncWebClient) -> None:
    file_id = await completed(client)
    told: Any = await client.files_info(file=file_id)
    for name in ("url_private", "permalink"):
        await show(client, url=told["file"][name])
    with refused("invalid_blocks", INVALID):
        await show(client, url=told["file"]["url_private"] + "x")


@pytest.mark.parametrize(
    ("kind", "shown"), [("PNG", True), ("JPEG", True), ("GIF", True), ("WEBP", False)]
)
async def test_what_an_image_block_shows(client: AsyncWebClient, kind: str, shown: bool) -> None:
    # What it is called does not matter, but what it is.
    file_id = await completed(client, picture(kind), filename="a.png")
    if shown:
        await show(client, id=file_id)
    else:
        with refused("invalid_blocks", INVALID):
            await show(client, id=file_id)


async def test_it_shows_neither_what_is_not_ready_nor_others(
    slack: LoopbackSlack, client: AsyncWebClient
) -> None:
    announced = await uploaded(client)
    others = await slack.upload_as(BEN, IMAGINE, "b.png", PNG)
    deleted = await completed(client)
    await client.files_delete(file=deleted)
    for file_id in (announced, others["id"], deleted):
        with refused("invalid_blocks", INVALID):
            await show(client, id=file_id)


async def test_what_cannot_be_announced(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    async def announce(**more: Any) -> None:
        await client.api_call(
            "files.getUploadURLExternal", params={"filename": "a.png", "length": 5, **more}
        )

    with refused("alt_txt_too_large"):
        await announce(alt_txt="x" * 1_001)
    await announce(alt_txt="x" * 1_000)
    with refused("file_upload_size_restricted"):
        await announce(length=slack.world.max_file_bytes + 1)
    with refused("invalid_arguments", "must be greater than 0 [json-pointer:/length]"):
        await announce(length=0)
    with refused("invalid_arguments", "missing required field: filename"):
        await announce(filename="")
    with refused("invalid_arguments", "must be less than 256 characters [json-pointer:/filename]"):
        await announce(filename="x" * 256)


async def test_an_upload_is_as_long_as_announced(
    client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    announced = await client.files_getUploadURLExternal(filename="a.png", length=len(PNG))
    url, file_id = announced["upload_url"], announced["file_id"]
    async with session.post(url, data=PNG + b"x") as answer:
        assert answer.status == 400
    with refused("file_not_found"):
        await client.files_completeUploadExternal(files=[{"id": file_id}])
    form = aiohttp.FormData()
    form.add_field("filename", PNG, filename="a.png")
    async with session.post(url, data=form) as answer:
        assert (answer.status, await answer.text()) == (200, f"OK - {len(PNG)}")
    await client.files_completeUploadExternal(files=[{"id": file_id}])
    for place in (url, url + "x"):
        async with session.post(place, data=PNG) as answer:
            assert answer.status == 404


async def test_a_file_is_completed_once(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    one, other = await uploaded(client), await uploaded(client)
    with refused("file_not_found"):
        await client.files_completeUploadExternal(files=[{"id": one}, {"id": "F000000000"}])
    with refused("file_not_found"):
        await client.files_completeUploadExternal(files=[{"id": one}, {"id": one}])
    await client.files_completeUploadExternal(files=[{"id": one}], channel_id=IMAGINE)
    with refused("file_not_found"):
        await client.files_completeUploadExternal(
            files=[{"id": one}, {"id": other}], channel_id=IMAGINE
        )
    assert len(slack.history(IMAGINE)) == 1
    await client.files_completeUploadExternal(files=[{"id": other}])


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"channel_id": PRIVATE}, "channel_not_found"),
        ({"channel_id": ELSEWHERE}, "not_in_channel"),
        ({"channel_id": ARCHIVED}, "is_archived"),
        ({"channel_id": IMAGINE, "thread_ts": "1234567890.000001"}, "thread_not_found"),
        ({"channel_id": IMAGINE, "blocks": "[{}]"}, "invalid_blocks"),
        ({"channels": [IMAGINE] * 101}, "channels_limit_exceeded"),
    ],
)
async def test_where_a_file_cannot_go(
    slack: LoopbackSlack, client: AsyncWebClient, more: dict[str, Any], error: str
) -> None:
    file_id = await uploaded(client)
    with refused(error):
        await client.files_completeUploadExternal(files=[{"id": file_id}], **more)
    assert slack.history(IMAGINE) == []
    await client.files_completeUploadExternal(files=[{"id": file_id}], channels=[IMAGINE, GALLERY])
    assert len(slack.history(IMAGINE)) == len(slack.history(GALLERY)) == 1


async def test_too_many_files_together(client: AsyncWebClient) -> None:
    files: Any = [{"id": await uploaded(client)} for _ in range(15)]
    with refused("internal_error"):
        await client.files_completeUploadExternal(files=files)
    await client.files_completeUploadExternal(files=files[:14])


async def test_a_list_of_files_has_its_shape(client: AsyncWebClient) -> None:
    with refused("invalid_arguments", "missing required field: files"):
        await client.api_call("files.completeUploadExternal")
    with refused(
        "invalid_arguments",
        "invalid additional property: initial_comment [json-pointer:/files/0]",
    ):
        await client.files_completeUploadExternal(
            files=[{"id": "F000000000", "initial_comment": "x"}]
        )


async def test_a_deleted_file_leaves_a_stone(
    slack: LoopbackSlack, client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    file_id = await uploaded(client)
    done: Any = await client.files_completeUploadExternal(
        files=[{"id": file_id}], channel_id=IMAGINE
    )
    url = done["files"][0]["url_private"]
    await client.files_delete(file=file_id)
    assert slack.history(IMAGINE)[0]["files"] == [{"id": file_id, "mode": "tombstone"}]
    with refused("file_deleted"):
        await client.files_info(file=file_id)
    with refused("file_deleted"):
        await client.files_delete(file=file_id)
    with pytest.raises(KeyError):
        slack.file_bytes(file_id)
    async with session.get(url, headers={"Authorization": f"Bearer {BOT_TOKEN}"}) as answer:
        assert answer.status == 404


async def test_files_of_others_are_seen_where_the_bot_is(
    slack: LoopbackSlack, client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    hidden = await slack.upload_as(ADA, PRIVATE, "a.png", PNG)
    with refused("file_not_found"):
        await client.files_info(file=hidden["id"])
    headers = {"Authorization": f"Bearer {BOT_TOKEN}"}
    async with session.get(hidden["url_private"], headers=headers) as answer:
        assert answer.status == 404
    shown = await slack.upload_as(ADA, IMAGINE, "a.png", PNG)
    assert (await client.files_info(file=shown["id"]))["file"]["user"] == ADA


async def test_without_its_scope_a_file_is_a_sign_in_page(
    slack: LoopbackSlack, client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    file = await slack.upload_as(ADA, IMAGINE, "a.png", PNG)
    slack.world.scopes.discard("files:read")
    headers = {"Authorization": f"Bearer {BOT_TOKEN}"}
    async with session.get(file["url_private"], headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")


async def test_how_large_a_file_may_be_is_the_worlds() -> None:
    world = default_world()
    world.max_file_bytes = 3
    slack = LoopbackSlack(world=world)
    await slack.start()
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(
            BOT_TOKEN, base_url=slack.api_url, session=session, retry_handlers=[]
        )
        with refused("file_upload_size_restricted"):
            await uploaded(client)
    await slack.close()
