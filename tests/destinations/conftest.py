"""A made-up world for destinations: tools, certificates, parcels, and a clock that only tests turn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor
from twisted.internet.ssl import Certificate, CertificateOptions, trustRootFromCertificates
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure

from broker.destinations import Parcel, Tools, secret_from

NOW = datetime(2026, 3, 5, 14, 10, tzinfo=UTC)
DELIVERY = "5f1d2c3b-0a49-4b58-8c67-1d2e3f405162"
MESSAGE = (
    b"MSH|^~\\&|HANDOFF|NORTH|EHR|WESTSIDE|20260305141000||ADT^A03^ADT_A03|5f1d2c3b0a494b588c67|P|2.5.1\r"
    b"EVN|A03|20260305141000\r"
    b"PID|1||123^^^NORTH^MR||Muster^Erika\r"
    b"PV1|1|I|2W^201^1\r"
)


class TurnedByHand:
    """The real reactor's sockets and threads with a clock that stands until a test turns it."""

    def __init__(self) -> None:
        self.clock = Clock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.clock if name in ("callLater", "seconds") else reactor, name)

    async def until(self, fired: Any, step: float = 61) -> Any:
        """Lets the world turn, and time pass, until the Deferred fires; at most some thousand turns."""
        ended: list[Any] = []
        fired.addBoth(ended.append)
        for _ in range(3_000):
            if ended:
                if isinstance(ended[0], Failure):
                    ended[0].raiseException()
                return ended[0]
            self.clock.advance(step)
            await deferLater(reactor, 0.001)
        raise AssertionError("it never fired")


class SelfSigned(NamedTuple):
    """A certificate for localhost: PEM files, a server's options, and those of one that wants ours too."""

    cert_file: Path
    key_file: Path
    server: Any
    mutual: Any


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> SelfSigned:
    folder = tmp_path_factory.mktemp("certificates")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    trusted = trustRootFromCertificates([Certificate.loadPEM(cert_file.read_bytes())])
    own: Any = {"certificate": certificate, "privateKey": key}
    return SelfSigned(
        cert_file, key_file, CertificateOptions(**own), CertificateOptions(**own, trustRoot=trusted)
    )


@pytest.fixture
def by_hand() -> TurnedByHand:
    return TurnedByHand()


@pytest.fixture
def tools(by_hand: TurnedByHand, tmp_path: Path) -> Tools:
    return Tools(
        reactor=by_hand,
        now=lambda: NOW,
        folder=tmp_path,
        out_folder=tmp_path / "out",
        secret=lambda place: secret_from(place, tmp_path, {"SMTP_PASSWORD": "sesame"}),
    )


@pytest.fixture
def parcel() -> Any:
    """Makes a parcel; what is not said is as in a plain discharge."""

    def make(**said: Any) -> Parcel:
        plain: dict[str, Any] = {
            "delivery": DELIVERY,
            "content": {"patient": "Erika Muster", "kind": "Discharge", "disposition": "home"},
            "payload": MESSAGE,
            "kind": "Discharge",
            "address": "dr.west@westside.example",
            "recipient": "1234567893",
            "link": "https://handoff.example/n/0b7c",
            "notification": "0b7c2d3e-1111-4222-8333-444455556666",
        }
        return Parcel(**plain | said)

    return make
