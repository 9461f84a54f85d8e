"""Content Credentials: a signature of who made a picture, and that a model did (C2PA 2.x).

Nothing here asks the network, unless there is the address of a time-stamp server. What c2pa-rs
would add by itself, a thumbnail that is larger than many pictures, stays out.
"""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import c2pa
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from PIL import Image

from sdxl_engine.errors import CredentialsError
from sdxl_engine.marks.xmp import TRAINED_MODEL

Clock = Callable[[], datetime]

# Of every use of c2pa-rs here.
SETTINGS: Final = {
    "version": 1,
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
SOON: Final = timedelta(days=30)
_MAX_FILE_BYTES: Final = 1 << 20
_OTHERS: Final = 0o077
_MIN_RSA_BITS: Final = 2_048
_CURVES: Final = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_TAKEN: Final = "ECDSA on P-256, P-384 or P-521, Ed25519, and RSA of 2048 bits or more"


def utc_now() -> datetime:
    """What time it is."""
    return datetime.now(UTC)


class Credentials:
    """The owner's certificate with its key, ready to sign; any thread may use it.

    certificate    a PEM file: the owner's certificate, then those above it
    private_key    a PEM file without a passphrase, which nobody else may read
    timestamp_url  of a server (RFC 3161) that is asked for the time of each signature; "" is none

    Raises CredentialsError if pictures cannot be signed with these now.
    """

    def __init__(
        self, certificate: Path, private_key: Path, timestamp_url: str = "", now: Clock = utc_now
    ) -> None:
        self.now = now
        self._timestamp_url = timestamp_url
        self._file = certificate
        self._chain, self._key = _read(certificate), _read(private_key)
        if private_key.stat().st_mode & _OTHERS:
            raise CredentialsError(
                f"Others on this machine may read the private key {private_key}. Take that from "
                f"them: chmod 600 {private_key}"
            )
        self._certificates = _certificates(certificate, self._chain)
        self._algorithm = _algorithm(private_key, self._key, self._certificates[0], certificate)
        self.check()
        self._try()

    @cached_property
    def name(self) -> str:
        """Whose the certificate is, as it says itself."""
        return self._certificates[0].subject.rfc4514_string()

    @cached_property
    def ends(self) -> datetime:
        """When the first of the certificates expires."""
        return min(one.not_valid_after_utc for one in self._certificates)

    @property
    def ends_soon(self) -> bool:
        """Whether it is time to ask for another."""
        return self.ends - self.now() < SOON

    def check(self) -> None:
        """Raise CredentialsError if the certificates are not valid now."""
        now = self.now()
        starts = max(one.not_valid_before_utc for one in self._certificates)
        if now > self.ends:
            raise CredentialsError(
                f"The certificate {self._file} expired on {self.ends:%Y-%m-%d}. Ask whoever issued "
                "it for a new one, or empty [marks] certificate and private_key."
            )
        if now < starts:
            raise CredentialsError(
                f"The certificate {self._file} is not valid before {starts:%Y-%m-%d %H:%M} UTC. "
                "Wait, look at this machine's clock, or empty [marks] certificate and private_key."
            )

    def signed(self, data: bytes, media_type: str) -> bytes:
        """The file with its Content Credentials, some 3 kB more; raises CredentialsError.

        Takes a few milliseconds, and the time-stamp server's time where there is one. If that
        server does not answer well, the signature has no time stamp.
        """
        self.check()
        if self._timestamp_url:
            try:
                return self._sign(data, media_type, self._timestamp_url)
            except c2pa.C2paError:
                pass
        try:
            return self._sign(data, media_type, None)
        except c2pa.C2paError as error:
            raise CredentialsError(
                f"A picture could not be signed with {self._file}: {error}. `imagine doctor` says "
                "whether the certificate is in order."
            ) from error

    def _sign(self, data: bytes, media_type: str, timestamp_url: str | None) -> bytes:
        info = c2pa.C2paSignerInfo(self._algorithm, self._chain, self._key, timestamp_url)
        signed = io.BytesIO()
        with (
            c2pa.Settings.from_dict(SETTINGS) as settings,
            c2pa.Context(settings, c2pa.Signer.from_info(info)) as context,
            c2pa.Builder(_manifest(media_type), context) as builder,
        ):
            builder.sign(media_type, io.BytesIO(data), signed)
        return signed.getvalue()

    def _try(self) -> None:
        """Sign something, for c2pa-rs wants more of a certificate than is looked at here."""
        blank = io.BytesIO()
        Image.new("RGB", (8, 8)).save(blank, "PNG")
        try:
            self._sign(blank.getvalue(), "image/png", None)
        except c2pa.C2paError as error:
            raise CredentialsError(
                f"The certificate {self._file} cannot sign pictures: {error}. It takes one for "
                "signing documents or for C2PA, which somebody else issued, and in the file behind "
                "it those that it was issued with."
            ) from error


def _manifest(media_type: str) -> dict[str, object]:
    created = {"action": "c2pa.created", "digitalSourceType": TRAINED_MODEL}
    return {
        "claim_generator_info": [{"name": "imagine-bot", "version": _version()}],
        "format": media_type,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
    }


def _version() -> str:
    try:
        return version("imagine-bot")
    except PackageNotFoundError:  # run from a folder that nobody installed
        return "0"


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise CredentialsError(
            f"{file} cannot be read ({error.strerror}). Correct [marks] certificate and "
            "private_key, or empty both."
        ) from error
    return data


def _certificates(file: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CredentialsError(
            f"{file} holds no certificates in PEM form. It begins with the owner's, and those it "
            "was issued with follow."
        ) from error


def _algorithm(key_file: Path, pem: bytes, certificate: x509.Certificate, file: Path) -> str:
    """What C2PA calls the key's way to sign; raises CredentialsError."""
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:  # it has a passphrase
        raise CredentialsError(
            f"The private key {key_file} has a passphrase, for which nobody can be asked here. "
            "Save it without one, where only this account can read it."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CredentialsError(f"{key_file} holds no private key in PEM form.") from error
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.name in _CURVES:
            algorithm = _CURVES[key.curve.name]
        case ed25519.Ed25519PrivateKey():
            algorithm = "ed25519"
        case rsa.RSAPrivateKey() if key.key_size >= _MIN_RSA_BITS:
            algorithm = "ps256"
        case _:
            raise CredentialsError(
                f"C2PA signs with no key such as {key_file}. It takes {_TAKEN}: ask for a "
                "certificate of such a one."
            )
    try:
        belongs = key.public_key() == certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        belongs = False
    if not belongs:
        raise CredentialsError(
            f"The private key {key_file} is not that of the first certificate in {file}. Name two "
            "that belong together; the owner's certificate comes first."
        )
    return algorithm
