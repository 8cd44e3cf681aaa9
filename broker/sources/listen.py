"""Binding an MLLP port, plain or over TLS. Floor 5."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from OpenSSL import SSL, crypto
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory

from broker.errors import OperationError
from broker.sources.mllp import Listener

__all__ = ["ServerTls", "listen"]

BACKLOG = 1024  # connections that wait to be taken: all of a hospital's senders come back at once
PEM_END = b"-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What we show, and whom we let in: `client_trust` holds the authorities of the senders' certificates,
    without which no sender needs to show one."""

    cert_file: Path
    key_file: Path
    client_trust_file: Path | None = None


async def listen(
    reactor: Any, listener: Listener, host: str, port: int, tls: ServerTls | None
) -> IListeningPort:
    """Binds a port; 0 takes a free one. Raises `OperationError` ("port_taken", "bad_certificate")."""
    factory: Any = listener
    if tls is not None:
        factory = TLSMemoryBIOFactory(_context(tls), False, listener, reactor)
        factory.noisy = False
    kind: Any = TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint
    try:
        bound = kind(reactor, port, backlog=BACKLOG, interface=host).listen(factory)
        return cast(IListeningPort, await bound)
    except CannotListenError as error:
        why = error.socketError.strerror or "?"
        raise OperationError(
            f"{listener.name} cannot listen on {host}:{port}: {why}", code="port_taken"
        ) from error


def _context(tls: ServerTls) -> CertificateOptions:
    try:
        own, *chain = _certificates(tls.cert_file)
        key = PrivateCertificate.loadPEM(own.dumpPEM() + tls.key_file.read_bytes())
        trust = None
        if tls.client_trust_file is not None:
            trust = trustRootFromCertificates(_certificates(tls.client_trust_file))
        return CertificateOptions(
            privateKey=key.privateKey.original.to_cryptography_key(),
            certificate=own.original.to_cryptography(),
            extraCertChain=[one.original.to_cryptography() for one in chain],
            trustRoot=trust,
        )
    except (OSError, SSL.Error, crypto.Error, ValueError) as error:
        raise OperationError(
            f"the certificates cannot be used ({type(error).__name__})", code="bad_certificate"
        ) from error


def _certificates(file: Path) -> list[Certificate]:
    pieces = [piece + PEM_END for piece in file.read_bytes().split(PEM_END) if b"BEGIN" in piece]
    if not pieces:
        raise ValueError("no certificate in the file")
    return [Certificate.loadPEM(piece) for piece in pieces]
