"""Objects in a bucket of a store that speaks S3, as several machines see it.

Where the store is and what opens it, boto3 finds in its own environment and files.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from bot.errors import ConfigError, GalleryError, PictureLostError
from bot.gallery.objects import MAX_CALLS, PROBE, PROBE_BYTES
from bot.shared.shown import one_line, without_password
from sdxl_engine.sentence import say

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

SCHEME: Final = "s3://"
# botocore would wait a minute for each. Read is between two packets, not for the whole picture.
_CONNECT_S: Final = 5.0
_READ_S: Final = 20.0
# With "standard" each attempt after the first waits for up to a second, twice as long each time
# where the store says that it is busy, and fewer are made while most fail.
_ATTEMPTS: Final = 3
_PAGE: Final = 1_000  # names, the most that S3 lists at once
_SAID_CHARS: Final = 200

_AWAY: Final = say(
    "Pictures can be neither kept nor fetched now. Tell the bot's owner, and ask again later."
)
# What to do about what S3 and its kin call so. Of what stands nowhere here, their own words tell.
_KEYS: Final = (
    "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for keys that end, AWS_SESSION_TOKEN."
)
_RIGHTS: Final = (
    "Allow these keys to put, get and delete objects there, and to list the bucket "
    "(s3:PutObject, s3:GetObject, s3:DeleteObject, s3:ListBucket)."
)
_REGION: Final = "Set AWS_REGION to the bucket's."
_BUSY: Final = "It is tried again; if it stays, ask whoever runs the store."
_FULL: Final = "Make room."
_ADDRESS: Final = "Is the store up, and AWS_ENDPOINT_URL_S3 its address?"
_NO_STORE: Final = "NoStore"  # our own word for what answers, and is none
_MENDS: Final = {
    "NoSuchBucket": "Make the bucket, or set [storage] pictures to one that is there.",
    "AccessDenied": _RIGHTS,
    "AllAccessDisabled": _RIGHTS,
    "403": _RIGHTS,
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "ExpiredToken": _KEYS,
    "InvalidToken": _KEYS,
    "NoCredentialsError": _KEYS,
    "PartialCredentialsError": _KEYS,
    "CredentialRetrievalError": _KEYS,
    "RequestTimeTooSkewed": "Set this machine's clock right.",
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "SlowDown": _BUSY,
    "ServiceUnavailable": _BUSY,
    "InternalError": _BUSY,
    "503": _BUSY,
    "QuotaExceeded": _FULL,
    "InsufficientStorage": _FULL,
    "XMinioStorageFull": _FULL,
    "507": _FULL,
}
_GONE: Final = frozenset({"NoSuchKey", "404"})
# Of one object, which nobody has until an operator does something about it: it was archived, or its
# key is disabled.
_SEALED: Final = ("InvalidObjectState", "KMS.")


class Bucket:
    """Implements `Objects`: under the names that files in a folder would have.

    address    s3://BUCKET/PREFIX, with or without a prefix
    connect_s  how long it may take to reach the store
    read_s     how long it may be silent
    attempts   how often something is tried, in all
    page       how many names it is asked for at once

    Raises ConfigError where what is configured cannot be used; whether the store answers, only
    `probe` finds out. A put is whole or not there by S3's own promise; the store checks the hash.
    """

    def __init__(
        self,
        address: str,
        *,
        connect_s: float = _CONNECT_S,
        read_s: float = _READ_S,
        attempts: int = _ATTEMPTS,
        page: int = _PAGE,
    ) -> None:
        self.address = address.rstrip("/")
        self._bucket, _, prefix = self.address.removeprefix(SCHEME).partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._page = page
        self._client = _connect(self.address, connect_s, read_s, attempts)
        # Not the whole of it: a password may stand in an address.
        self._host = urlsplit(self._client.meta.endpoint_url).netloc.rpartition("@")[2]

    def put(self, name: str, data: bytes) -> None:
        """See `Objects.put`."""
        with self._asked("put"):
            answer = self._client.put_object(
                Bucket=self._bucket, Key=self._prefix + name, Body=data
            )
        if "ETag" not in answer:
            raise self._away("put", _NO_STORE, "another kind of answer", _ADDRESS, "")

    def get(self, name: str) -> bytes:
        """See `Objects.get`."""
        with self._asked("get", name=name):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            with closing(answer["Body"]) as body:
                return body.read()

    def folders(self, within: str) -> tuple[str, ...]:
        """See `Objects.folders`."""
        start = f"{self._prefix}{within}/" if within else self._prefix
        return tuple(
            one["Prefix"].removeprefix(start).rstrip("/")
            for page in self._listed(start, delimiter="/")
            for one in page.get("CommonPrefixes", ())
        )

    def delete(self, folder: str) -> None:
        """See `Objects.delete`."""
        job = folder.rpartition("/")[2]
        # All are known before the first goes: no page is asked for that has moved.
        for page in list(self._listed(f"{self._prefix}{folder}/", job=job)):
            for one in page.get("Contents", ()):
                # One by one: to delete many at once, stores that are not Amazon's want a hash
                # that boto3 no longer sends (MissingContentMD5).
                with self._asked("delete", job=job):
                    self._client.delete_object(Bucket=self._bucket, Key=one["Key"])

    def probe(self) -> None:
        """See `Objects.probe`."""
        name = f"{PROBE}/{os.urandom(4).hex()}"
        self.put(name, bytes(PROBE_BYTES))
        with suppress(PictureLostError):  # another machine, which looks as well, took it away
            self.get(name)
        self.delete(PROBE)

    def mend(self) -> Iterator[None]:
        """See `Objects.mend`; who may read a bucket is its owner's to say."""
        yield from ()

    def keeps_versions(self) -> bool:
        """Whether what is deleted stays there as an older version; False where nobody says."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as below

        try:
            answer = self._client.get_bucket_versioning(Bucket=self._bucket)
        except (BotoCoreError, ClientError):  # many stores know no versions, many keys no right
            return False
        return "Status" in answer

    def _listed(
        self, start: str, *, delimiter: str = "", job: str = ""
    ) -> "Iterator[ListObjectsV2OutputTypeDef]":
        """Every page of what begins so; raises GalleryError."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket,
            Prefix=start,
            Delimiter=delimiter,
            PaginationConfig={"PageSize": self._page},
        )
        with self._asked("list", job=job):
            for page in pages:
                if "IsTruncated" not in page:  # a proxy's HTML reads as an empty list
                    raise self._away("list", _NO_STORE, "another kind of answer", _ADDRESS, job)
                yield page

    @contextmanager
    def _asked(self, what: str, *, name: str = "", job: str = "") -> Iterator[None]:
        """Raise as our own errors what boto3 raises.

        what  is asked of the store
        name  of the picture, where one is got
        job   whose pictures are to be deleted
        """
        # Here and not above: whoever keeps pictures in a folder needs no boto3.
        from botocore import exceptions as raised  # noqa: PLC0415

        try:
            yield
        except raised.ClientError as error:
            code = error.response["Error"].get("Code", "")
            if what == "get" and (code in _GONE or code.startswith(_SEALED)):
                raise _lost(name, code) from error
            if code in _GONE and what == "delete":  # somebody else was first
                return
            message = error.response["Error"].get("Message", "")
            # Neither trace is for a log: the texts below hold the whole address of the store.
            raise self._away(what, code, message, _MENDS.get(code, ""), job) from None
        except raised.BotoCoreError as error:
            code = type(error).__name__
            is_wire = isinstance(
                error,
                raised.HTTPClientError
                | raised.ConnectionError
                | raised.IncompleteReadError
                | raised.ResponseStreamingError,
            )
            mend = _ADDRESS if is_wire else _MENDS.get(code, "")
            raise self._away(what, code, str(error), mend, job) from None

    def _away(self, what: str, code: str, message: str, mend: str, job: str) -> GalleryError:
        """What is told people, and whoever runs the bot."""
        said = one_line(without_password(message), _SAID_CHARS)
        found = (
            f"The store at {self._host} does not {what} in {self.address}: {code} ({said}). {mend}"
        ).rstrip()
        sentence = _AWAY
        if job:
            sentence = say("The pictures of {job} cannot be deleted ({why}).", job=job, why=code)
        return GalleryError(sentence, found=found)


def _connect(address: str, connect_s: float, read_s: float, attempts: int) -> "S3Client":
    try:
        import boto3  # noqa: PLC0415 - as above
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"[storage] pictures is {address}, and what speaks with such stores is not installed: "
            "make setup-scale, or pip install 'imagine-bot[s3]'."
        ) from error
    config = Config(
        connect_timeout=connect_s,
        read_timeout=read_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=MAX_CALLS,
        # Only where S3 wants them: many stores that are not Amazon's refuse them, and the
        # signature holds a hash of all that is sent.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        # The region has this name everywhere but in boto3, where it is AWS_DEFAULT_REGION.
        session = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)
        return session.client("s3", config=config)
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(
            f"[storage] pictures is {address}, and what AWS_* says of the store cannot be used: "
            f"{without_password(str(error))}. Correct it."
        ) from None  # as above


def _lost(name: str, why: str) -> PictureLostError:
    return PictureLostError(say("The picture {path} cannot be read: {why}.", path=name, why=why))
