"""A throwaway authority: certificates as C2PA wants them, and as it does not."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

DAY: Final = timedelta(days=1)
_NOTHING: Final = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


def elliptic() -> Key:
    """A key as most certificates have them."""
    return ec.generate_private_key(ec.SECP256R1())


def write_key(file: Path, key: Key, *, passphrase: bytes = b"", mode: int = 0o600) -> Path:
    """The key as PEM."""
    closed: KeySerializationEncryption = NoEncryption()
    if passphrase:
        closed = BestAvailableEncryption(passphrase)
    file.touch(mode=0o600)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, closed))
    file.chmod(mode)
    return file


def write_chain(
    file: Path,
    key: Key,
    *,
    starts: timedelta = -DAY,
    ends: timedelta = 90 * DAY,
    purposes: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.EMAIL_PROTECTION,),
) -> Path:
    """A certificate for the key, and the authority's behind it; both from now on counted."""
    now, root_key = datetime.now(UTC), elliptic()
    root_name = _name("An authority")
    root = (
        _begun(root_name, root_name, root_key, now - 365 * DAY, now + 365 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{**_NOTHING, "key_cert_sign": True}), critical=True)
        .sign(root_key, SHA256())
    )
    owner = (
        _begun(_name("A studio"), root_name, key, now + starts, now + ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{**_NOTHING, "digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
        .sign(root_key, SHA256())
    )
    file.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in (owner, root)))
    return file


def _begun(
    name: x509.Name, issuer: x509.Name, key: Key, starts: datetime, ends: datetime
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder(issuer, name, public, x509.random_serial_number(), starts, ends)
    ).add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)


def _name(name: str) -> x509.Name:
    attributes = (NameOID.ORGANIZATION_NAME, "Studios"), (NameOID.COMMON_NAME, name)
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in attributes])
