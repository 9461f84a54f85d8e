"""A bucket over real sockets, and all that may go wrong on the way to it."""

import asyncio
import socket
import traceback
from collections.abc import Iterator

import boto3
import pytest
from moto.s3.models import s3_backends

from bot.errors import ConfigError, GalleryError, PictureLostError
from bot.gallery.bucket import Bucket
from bot.gallery.gallery import ObjectGallery
from bot.gallery.objects import MAX_CALLS
from tests.bot.core.jobs import make_job
from tests.bot.gallery.drawn import REQUEST, drawn
from tests.bot.gallery.store import (
    ACCESS,
    HOST,
    PASSWORD,
    SECRET,
    Between,
    Fault,
    busy,
    changed,
    cut,
    refused,
    standing_before,
    web_page,
)
from tests.fakes import card_of

pytestmark = pytest.mark.scale

PEOPLE_READ = (
    "Pictures can be neither kept nor fetched now. Tell the bot's owner, and ask again later."
)
DELETED = "The pictures of job cannot be deleted"


@pytest.fixture
def between(address: str, store: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    """What stands before the store; the environment leads to it."""
    with standing_before(store) as (made, port):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://somebody:{PASSWORD}@{HOST}:{port}")
        yield made


@pytest.fixture
def bucket(between: Between, address: str) -> Bucket:
    """Seen through it."""
    return Bucket(address)


def check_nothing_shown(*texts: str) -> None:
    for text in texts:
        for secret in (ACCESS, SECRET, PASSWORD):
            assert secret not in text


def test_what_stands_there_is_what_a_folder_would_hold(bucket: Bucket, address: str) -> None:
    bucket.put("job/job_0.png", b"0")
    bucket.put(".brought/job/digest", b"1")
    name, prefix = address.removeprefix("s3://").split("/", 1)
    listed = boto3.client("s3").list_objects_v2(Bucket=name)["Contents"]
    assert [one["Key"] for one in listed] == [
        f"{prefix}/.brought/job/digest",
        f"{prefix}/job/job_0.png",
    ]
    whole = Bucket(f"s3://{name}")
    assert whole.get(f"{prefix}/job/job_0.png") == b"0"
    assert whole.folders("") == (prefix.split("/")[0],)
    assert whole.folders(f"{prefix}/.brought") == ("job",)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_busy_store_is_asked_three_times(bucket: Bucket, between: Between, times: int) -> None:
    between.faults = [busy] * times
    if times < 3:
        bucket.put("job/a", b"a")
    else:
        with pytest.raises(GalleryError):
            bucket.put("job/a", b"a")
    assert between.seen == ["PUT"] * min(times + 1, 3)
    between.faults.clear()
    assert bucket.folders("") == ("job",)  # the store has it all the same, only its word was lost


def test_a_store_that_does_not_answer_is_not_waited_for(between: Between, address: str) -> None:
    bucket = Bucket(address, connect_s=0.2, read_s=0.2, attempts=2)
    between.open.clear()
    with pytest.raises(GalleryError, match=PEOPLE_READ) as caught:
        bucket.get("job/a")
    assert "ReadTimeoutError" in caught.value.found
    assert len(between.seen) == 2


def test_a_store_that_is_down_is_told_apart_from_a_picture_that_is_lost(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://somebody:{PASSWORD}@{HOST}:{port}")
    with pytest.raises(GalleryError, match=PEOPLE_READ) as caught:
        Bucket(address).get("job/a")
    assert caught.value.found.startswith(
        f"The store at {HOST}:{port} does not get in {address}: EndpointConnectionError "
    )
    assert "AWS_ENDPOINT_URL_S3" in caught.value.found
    trace = "".join(traceback.format_exception(caught.value))
    check_nothing_shown(caught.value.found, repr(caught.value), trace)


@pytest.mark.parametrize(
    ("fault", "said", "mend"),
    [
        (refused(403, "AccessDenied"), "AccessDenied (No.)", "s3:PutObject"),
        (refused(403, "InvalidAccessKeyId"), "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        (refused(403, "SignatureDoesNotMatch"), "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        (refused(400, "ExpiredToken"), "ExpiredToken", "AWS_SESSION_TOKEN"),
        (refused(403, "RequestTimeTooSkewed"), "RequestTimeTooSkewed", "clock"),
        (refused(400, "AuthorizationHeaderMalformed"), "AuthorizationHeader", "AWS_REGION"),
        (refused(503, "SlowDown"), "SlowDown", "tried again"),
        (refused(507, "XMinioStorageFull"), "XMinioStorageFull", "Make room"),
        (refused(400, "AnotherOne"), "AnotherOne (No.).", ""),
        (web_page, "NoStore", "AWS_ENDPOINT_URL_S3"),
    ],
)
def test_whoever_runs_the_bot_is_told_what_to_do(
    between: Between, address: str, fault: Fault, said: str, mend: str
) -> None:
    bucket = Bucket(address, attempts=1)
    between.faults = [fault]
    with pytest.raises(GalleryError, match=PEOPLE_READ) as caught:
        bucket.put("job/a", b"a")
    assert said in caught.value.found
    assert mend in caught.value.found
    trace = "".join(traceback.format_exception(caught.value))
    check_nothing_shown(caught.value.found, repr(caught.value), trace)


def test_a_bucket_that_is_not_there_is_named(address: str) -> None:
    with pytest.raises(GalleryError) as caught:
        Bucket("s3://nobodys-bucket/here").probe()
    assert "NoSuchBucket" in caught.value.found
    assert "Make the bucket" in caught.value.found
    with pytest.raises(GalleryError):  # so nobody says of a picture that it is lost
        Bucket("s3://nobodys-bucket/here").get("job/a")


def test_without_keys_their_names_are_said(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(GalleryError) as caught:
        Bucket(address).probe()
    assert "NoCredentialsError" in caught.value.found
    assert "AWS_ACCESS_KEY_ID" in caught.value.found


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AWS_PROFILE", "nobody", "nobody"),
        ("AWS_ENDPOINT_URL_S3", f"http://somebody:{PASSWORD}@not there/", "Invalid endpoint"),
        ("AWS_ENDPOINT_URL_S3", "no address", "no address"),
    ],
)
def test_an_environment_that_cannot_be_used_is_a_sentence(
    address: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=said) as caught:
        Bucket(address)
    check_nothing_shown(str(caught.value))


def test_the_region_has_the_name_that_it_has_elsewhere(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert Bucket(address)._client.meta.region_name == "eu-central-1"


async def test_a_picture_that_came_changed_is_fetched_once_more(
    bucket: Bucket, between: Between
) -> None:
    gallery, job = ObjectGallery(bucket, card_of), make_job()
    (stored, *_) = await gallery.store(job, REQUEST, drawn())
    between.seen.clear()
    between.faults = [changed]
    assert len(await gallery.read(job.id, [stored])) == 1
    between.faults = [changed, changed]
    with pytest.raises(PictureLostError, match=stored.filename):
        await gallery.read(job.id, [stored])
    assert between.seen == ["GET"] * 4
    gallery.close()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (cut, GalleryError),  # the way to it was, and may be there again
        (refused(403, "AccessDenied"), GalleryError),
        (refused(403, "InvalidObjectState"), PictureLostError),
        (refused(400, "KMS.DisabledException"), PictureLostError),
    ],
)
async def test_what_cannot_be_fetched_now_is_told_from_what_cannot_be_at_all(
    bucket: Bucket, between: Between, fault: Fault, error: type[Exception]
) -> None:
    gallery, job = ObjectGallery(bucket, card_of), make_job()
    (stored, *_) = await gallery.store(job, REQUEST, drawn())
    between.faults = [fault] * 6
    with pytest.raises(error):
        await gallery.read(job.id, [stored])
    gallery.close()


def test_more_is_listed_than_s3_lists_at_once(address: str) -> None:
    name, prefix = address.removeprefix("s3://").split("/", 1)
    for number in range(1_003):  # by the back door: over its wire it takes ten seconds
        s3_backends["123456789012"]["aws"].put_object(
            name, f"{prefix}/.brought/{number}/a", b"", encryption=None
        )
    assert set(Bucket(address).folders(".brought")) == {str(number) for number in range(1_003)}


def test_folders_are_listed_page_by_page(between: Between, address: str) -> None:
    bucket = Bucket(address, page=2)
    for number in range(5):
        bucket.put(f".brought/{number}/a", b"")
    between.seen.clear()
    assert bucket.folders(".brought") == ("0", "1", "2", "3", "4")
    assert between.seen == ["GET"] * 3
    bucket.delete(".brought/3")
    assert bucket.folders(".brought") == ("0", "1", "2", "4")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("fault", [refused(403, "AccessDenied"), busy])
def test_what_is_not_all_deleted_is_said_and_can_be_done_again(
    between: Between, address: str, method: str, fault: Fault
) -> None:
    bucket = Bucket(address, attempts=1, page=2)
    for number in range(5):
        bucket.put(f"job/{number}", b"")
    between.faults_of[method] = [None, fault]
    with pytest.raises(GalleryError, match=DELETED):
        bucket.delete("job")
    bucket.delete("job")
    assert bucket.folders("") == ()


def test_an_answer_that_is_none_deletes_nothing(bucket: Bucket, between: Between) -> None:
    bucket.put("job/a", b"a")
    between.faults = [web_page]
    with pytest.raises(GalleryError, match=DELETED):
        bucket.delete("job")
    assert bucket.get("job/a") == b"a"


def test_what_somebody_else_deleted_first_is_deleted(bucket: Bucket, between: Between) -> None:
    bucket.put("job/a", b"a")
    between.faults_of["DELETE"] = [refused(404, "NoSuchKey")]  # Amazon says 204 to it
    bucket.delete("job")


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_a_probe_finds_what_may_not_be_done(between: Between, address: str, method: str) -> None:
    bucket = Bucket(address)
    bucket.probe()
    assert set(between.seen) == {"PUT", "GET", "DELETE"}
    between.faults_of[method] = [refused(403, "AccessDenied")]
    with pytest.raises(GalleryError) as caught:
        bucket.probe()
    assert "s3:DeleteObject" in caught.value.found
    bucket.probe()
    assert bucket.folders("") == ()  # nor is anything left of the probe that failed


def test_machines_that_look_at_once_do_not_disturb_each_other(
    bucket: Bucket, between: Between
) -> None:
    between.faults_of["GET"] = [refused(404, "NoSuchKey")]  # another one took it away
    bucket.probe()


def test_a_bucket_that_keeps_what_is_deleted_is_found_out(
    bucket: Bucket, between: Between, address: str
) -> None:
    assert not bucket.keeps_versions()
    name = address.removeprefix("s3://").partition("/")[0]
    boto3.client("s3").put_bucket_versioning(
        Bucket=name, VersioningConfiguration={"Status": "Enabled"}
    )
    assert bucket.keeps_versions()
    between.faults = [refused(403, "AccessDenied")]
    assert not bucket.keeps_versions()


async def test_the_loop_goes_on_and_calls_at_once_are_few(bucket: Bucket, between: Between) -> None:
    gallery, job = ObjectGallery(bucket, card_of), make_job()
    stored = await gallery.store(job, REQUEST, drawn())
    for _ in between.seen:
        between.arrived.acquire()
    between.open.clear()
    tasks = [asyncio.create_task(gallery.read(job.id, stored)) for _ in range(3 * MAX_CALLS)]
    await asyncio.to_thread(between.arrived.acquire)  # the store has been asked, and is silent
    assert not any(task.done() for task in tasks)
    between.open.set()
    assert [len(found) for found in await asyncio.gather(*tasks)] == [4] * len(tasks)
    assert between.most <= MAX_CALLS
    gallery.close()


async def test_a_gallery_that_is_away_and_comes_back(between: Between, address: str) -> None:
    gallery, job = ObjectGallery(Bucket(address, attempts=1), card_of), make_job()
    between.faults = [busy, busy]
    for asked in (gallery.store(job, REQUEST, drawn()), gallery.starters()):
        with pytest.raises(GalleryError):
            await asked
    stored = await gallery.store(job, REQUEST, drawn())
    assert len(await gallery.read(job.id, stored)) == 4
    gallery.close()
