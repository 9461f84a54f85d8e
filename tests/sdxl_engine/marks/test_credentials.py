"""Content Credentials: signed with the owner's certificate, or a clear word why not."""

import http.server
import io
import json
import logging
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import c2pa
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from PIL import Image

from sdxl_engine.errors import CredentialsError
from sdxl_engine.images import encode_png, encode_within
from sdxl_engine.marks.credentials import Credentials
from sdxl_engine.marks.file_marks import marks_in
from sdxl_engine.marks.marks import Marks
from sdxl_engine.marks.watermark import Watermark
from sdxl_engine.marks.xmp import TRAINED_MODEL
from sdxl_engine.request import GeneratedImage
from tests.sdxl_engine.marks.authority import DAY, Key, elliptic, write_chain, write_key

IMAGE = GeneratedImage(0, 7, 64, 64, bytes(range(256)) * 48)


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    return made(tmp_path, elliptic())


def made(
    folder: Path, key: Key, *, timestamp_url: str = "", now: Clock | None = None
) -> Credentials:
    chain = write_chain(folder / "chain.pem", key)
    return Credentials(chain, write_key(folder / "key.pem", key), timestamp_url, now or Clock())


@pytest.mark.parametrize("limit_bytes", [10**6, 1])
def test_a_signed_file_says_what_it_is(credentials: Credentials, limit_bytes: int) -> None:
    marks = Marks(Watermark(), xmp=True, credentials=credentials)
    file = encode_within(IMAGE, "a cat", limit_bytes, marks)
    assert file.extension == ("webp" if limit_bytes == 1 else "png")
    found = marks_in(file.data)
    assert found.says_model
    assert found.credentials is not None
    assert found.credentials.is_whole
    assert found.credentials.problems == ()
    assert found.credentials.signed_by == "A studio"
    assert found.credentials.issuer == "Studios"
    assert found.credentials.program == "imagine-bot"
    assert found.credentials.sources == (TRAINED_MODEL,)
    with Image.open(io.BytesIO(file.data)) as signed:
        signed.load()  # as anybody reads it
        assert signed.size == (64, 64)


def test_it_is_small_and_holds_no_thumbnail(credentials: Credentials) -> None:
    plain = encode_png(IMAGE, "a cat")
    signed = encode_png(IMAGE, "a cat", Marks(credentials=credentials))
    assert len(signed) - len(plain) < 5_000
    assert b"thumbnail" not in signed
    assert b"caBX" in signed


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "P-521", "Ed25519", "RSA"],
)
def test_every_key_of_c2pa_signs(tmp_path: Path, key: Key) -> None:
    found = marks_in(encode_png(IMAGE, "", Marks(credentials=made(tmp_path, key))))
    assert found.credentials is not None
    assert found.credentials.is_whole


def test_a_change_is_noticed(credentials: Credentials) -> None:
    signed = encode_png(IMAGE, "a cat", Marks(credentials=credentials))
    text = b"tEXtparameters\0a "
    before, after = (text + animal for animal in (b"cat", b"dog"))
    changed = signed.replace(
        before + struct.pack(">L", zlib.crc32(before)), after + struct.pack(">L", zlib.crc32(after))
    )
    assert changed != signed
    found = marks_in(changed)
    assert found.credentials is not None
    assert not found.credentials.is_whole
    assert "assertion.dataHash.mismatch" in found.credentials.problems


def test_the_limit_holds_with_the_signature(credentials: Credentials) -> None:
    marks = Marks(credentials=credentials)
    png = encode_png(IMAGE, "", marks)
    assert encode_within(IMAGE, "", len(png) - 100, marks).extension == "webp"
    assert len(encode_within(IMAGE, "", 10**6, marks).data) <= 10**6


def refusal(certificate: Path, key: Path) -> str:
    with pytest.raises(CredentialsError) as refused:
        Credentials(certificate, key)
    assert "PRIVATE KEY" not in str(refused.value)
    return str(refused.value)


def test_what_cannot_sign_is_refused_with_a_reason(tmp_path: Path) -> None:
    key = elliptic()
    chain, file = write_chain(tmp_path / "chain", key), write_key(tmp_path / "key", key)
    expired = write_chain(tmp_path / "expired", key, starts=-9 * DAY, ends=-DAY)
    early = write_chain(tmp_path / "early", key, starts=DAY)
    web = write_chain(tmp_path / "web", key, purposes=[ExtendedKeyUsageOID.SERVER_AUTH])
    no_pem = tmp_path / "no.pem"
    no_pem.write_bytes(b"\x30\x82 no PEM")
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is what is refused
    koblitz = ec.generate_private_key(ec.SECP256K1())
    reasons = {
        "expired on": (expired, file),
        "not valid before": (early, file),
        "cannot sign pictures": (web, file),
        "is not that of the first": (chain, write_key(tmp_path / "other", elliptic())),
        "has a passphrase": (chain, write_key(tmp_path / "shut", key, passphrase=b"x")),
        "chmod 600": (chain, write_key(tmp_path / "open", key, mode=0o640)),
        "signs with no key such as": (chain, write_key(tmp_path / "weak", weak)),
        "P-256, P-384 or P-521": (chain, write_key(tmp_path / "koblitz", koblitz)),
        "holds no certificates": (no_pem, file),
        "cannot be read (No such file": (tmp_path / "none", file),
    }
    no_pem.chmod(0o600)
    for reason, (certificate, private_key) in reasons.items():
        assert reason in refusal(certificate, private_key)
    assert "holds no private key" in refusal(chain, no_pem)


def test_what_expires_meanwhile_costs_nobody_their_pictures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = Clock()
    credentials = made(tmp_path, elliptic(), now=now)
    marks = Marks(xmp=True, credentials=credentials)
    soon = [credentials.ends_soon]
    now.now += timedelta(days=61)
    assert [*soon, credentials.ends_soon] == [False, True]
    assert marks_in(encode_png(IMAGE, "", marks)).credentials is not None
    now.now += timedelta(days=30)
    with caplog.at_level(logging.ERROR):
        found = [marks_in(encode_png(IMAGE, "", marks)) for _ in range(3)]
        assert all(one.says_model and one.credentials is None for one in found)
        assert len(caplog.records) == 1
        assert "expired on" in caplog.text
        now.now += timedelta(days=1)
        encode_png(IMAGE, "", marks)
    assert len(caplog.records) == 2


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """A server that refuses whatever it is asked, and what it was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_error(503)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def test_a_time_stamp_is_asked_for_where_one_is_wanted(tmp_path: Path) -> None:
    with listening() as (url, asked):
        credentials = made(tmp_path, elliptic(), timestamp_url=f"{url}/stamp")
        assert asked == []  # not to see whether they sign
        found = marks_in(encode_png(IMAGE, "", Marks(credentials=credentials)))
        assert asked == ["/stamp"]
    assert found.credentials is not None  # the server refused, which is no reason not to sign
    assert found.credentials.is_whole


def test_a_manifest_that_lies_elsewhere_is_not_fetched(
    credentials: Credentials, tmp_path: Path
) -> None:
    blank, away = io.BytesIO(encode_png(IMAGE, "")), io.BytesIO()
    with listening() as (url, asked):
        info = c2pa.C2paSignerInfo(
            "es256",
            (tmp_path / "chain.pem").read_bytes(),
            (tmp_path / "key.pem").read_bytes(),
            None,
        )
        with (
            c2pa.Signer.from_info(info) as signer,
            c2pa.Builder(json.dumps({"assertions": []})) as builder,
        ):
            builder.set_intent(
                c2pa.C2paBuilderIntent.CREATE,
                c2pa.C2paDigitalSourceType.TRAINED_ALGORITHMIC_MEDIA,
            )
            builder.set_no_embed()
            builder.set_remote_url(f"{url}/manifest")
            builder.sign(signer, "image/png", blank, away)
        asked.clear()
        assert b"/manifest" in away.getvalue()
        marks_in(away.getvalue())
        assert asked == []
