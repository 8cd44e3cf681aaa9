"""The MLLP listener on real sockets: partial writes, half-closed senders, TLS with certificates."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from broker.errors import OperationError
from broker.hl7.framing import frame
from broker.sources.listen import ServerTls, listen
from broker.sources.mllp import Limits, Line, Listener, Turn


class Desk:
    """Answers each frame with what the test gives for it; knows when lines end."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.answer = answer
        self.open: list[tuple[Line, Turn]] = []
        self.not_answered: list[Turn] = []
        self.asked: Deferred[None] = Deferred()

    def receive(self, line: Line, whole: bytes) -> None:
        turn = Turn()
        line.expect(turn)
        if self.answer is not None:
            line.give(turn, self.answer)
            line.flush()
        else:
            self.open.append((line, turn))
        if not self.asked.called:
            self.asked.callback(None)

    def part(self, line: Line, part: bytes) -> None: ...

    def broken(self, line: Line, cause: str, beginning: bytes) -> None: ...

    def part_lost(self, line: Line) -> None: ...

    def unanswered(self, turn: Turn) -> None:
        self.not_answered.append(turn)


async def bound(desk: Desk, tls: ServerTls | None = None, **limits: Any) -> tuple[Any, Listener, int]:
    listener = Listener("north", desk, Limits(**limits), reactor)
    port = await listen(reactor, listener, "127.0.0.1", 0, tls)
    return port, listener, port.getHost().port


def read_all(wire: socket.socket) -> bytes:
    return b"".join(iter(lambda: wire.recv(1 << 20), b""))


@contextmanager
def dialled(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), 10) as wire:
        yield wire


@pytest_twisted.ensureDeferred
async def test_an_answer_larger_than_the_kernel_takes_at_once_arrives_whole() -> None:
    desk = Desk(answer=b"x" * 20_000_000)
    port, _, number = await bound(desk)

    def peer() -> int:
        with dialled(number) as wire:
            wire.sendall(frame(b"1") + frame(b"2"))
            wire.shutdown(socket.SHUT_WR)
            return len(read_all(wire))

    assert await deferToThread(peer) == 40_000_000
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_sender_that_closes_only_its_own_side_gets_its_answer() -> None:
    desk = Desk()
    port, _, number = await bound(desk)

    def peer() -> bytes:
        with dialled(number) as wire:
            wire.sendall(frame(b"1"))
            wire.shutdown(socket.SHUT_WR)
            return read_all(wire)

    answer = deferToThread(peer)
    await desk.asked
    line, turn = desk.open[0]
    line.give(turn, b"yes")
    line.flush()
    assert await answer == b"yes"
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_sender_that_reset_its_connection_is_noted_as_unanswered() -> None:
    desk = Desk()
    port, listener, number = await bound(desk)

    def peer() -> None:
        with dialled(number) as wire:
            wire.sendall(frame(b"1"))
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    await deferToThread(peer)
    await desk.asked
    line, turn = desk.open[0]
    gone: Deferred[None] = Deferred()
    lost = line.connectionLost
    line.connectionLost = lambda reason: (lost(reason), gone.callback(None))  # type: ignore[assignment, method-assign]
    await gone
    line.give(turn, b"yes")
    assert desk.not_answered == [turn]
    assert not listener.lines
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_the_answer_to_a_frame_that_is_too_long_is_not_lost_in_a_reset() -> None:
    class Refusing(Desk):
        def broken(self, line: Line, cause: str, beginning: bytes) -> None:
            turn = Turn()
            line.expect(turn)
            line.give(turn, b"no")

    port, _, number = await bound(Refusing(), max_bytes=1000)

    def peer() -> bytes:
        with dialled(number) as wire:
            wire.sendall(b"\x0b" + b"x" * 3_000_000)
            return read_all(wire)

    assert await deferToThread(peer) == b"no"
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_one_connection_too_many_is_closed_at_once_and_the_others_go_on() -> None:
    desk = Desk(answer=b"yes")
    port, listener, number = await bound(desk, max_connections=1)

    def peer() -> tuple[bytes, bytes]:
        with dialled(number) as first, dialled(number) as second:
            refused = read_all(second)
            first.sendall(frame(b"1"))
            return refused, first.recv(100)

    assert await deferToThread(peer) == (b"", b"yes")
    assert listener.refused["full"] == 1
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_taken_says_who_wanted_it() -> None:
    port, _, number = await bound(Desk())
    with pytest.raises(OperationError, match=f"north cannot listen on 127.0.0.1:{number}"):
        await listen(reactor, Listener("north", Desk(), Limits(), reactor), "127.0.0.1", number, None)
    await port.stopListening()


def made_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A key and a certificate that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert_file, key_file


def over_tls(number: int, trust: Path, own: tuple[Path, Path] | None = None) -> bytes:
    """Sends a frame and reads its answer. Raises what ssl raises."""
    context = ssl.create_default_context(cafile=str(trust))
    if own:
        context.load_cert_chain(*map(str, own))
    with dialled(number) as plain, context.wrap_socket(plain, server_hostname="hub") as wire:
        wire.sendall(frame(b"1"))
        return wire.recv(100)


@pytest_twisted.ensureDeferred
async def test_a_sender_with_the_right_certificate_is_answered_over_tls(tmp_path: Path) -> None:
    hub, north = made_certificate(tmp_path, "hub"), made_certificate(tmp_path, "north")
    port, _, number = await bound(Desk(answer=b"yes"), ServerTls(*hub, client_trust_file=north[0]))
    assert await deferToThread(over_tls, number, hub[0], north) == b"yes"
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_sender_without_the_right_certificate_is_turned_away_before_a_byte_is_read(
    tmp_path: Path,
) -> None:
    hub, north = made_certificate(tmp_path, "hub"), made_certificate(tmp_path, "north")
    other = made_certificate(tmp_path, "other")
    desk = Desk(answer=b"yes")
    port, _, number = await bound(desk, ServerTls(*hub, client_trust_file=north[0]))
    for own in (None, other):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await deferToThread(over_tls, number, hub[0], own)
    assert not desk.asked.called
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_certificates_that_cannot_be_read_are_said_at_the_start(tmp_path: Path) -> None:
    hub, _ = made_certificate(tmp_path, "hub")
    empty = tmp_path / "empty.key"
    empty.write_bytes(b"")
    with pytest.raises(OperationError, match="certificates"):
        await bound(Desk(), ServerTls(hub, empty))
