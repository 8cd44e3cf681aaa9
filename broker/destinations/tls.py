"""TLS towards a destination: whom we trust, and what we show of ourselves. Floor 5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from OpenSSL import SSL
from pydantic import BaseModel, Field, model_validator
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)

from broker.destinations.base import Tools
from broker.errors import DestinationError

__all__ = ["TlsOptions", "client_tls"]

PEM_END = b"-----END CERTIFICATE-----"


class TlsOptions(BaseModel):
    """What a type adds to its options when it can speak TLS. The peer's certificate is always verified."""

    server_name: str = Field(default="", description="The name in their certificate; empty: the host.")
    trust_file: Path | None = Field(
        default=None, description="PEM file of the authorities to trust; empty: the operating system's."
    )
    cert_file: Path | None = Field(default=None, description="PEM file of our own certificate (mutual TLS).")
    key_file: Path | None = Field(default=None, description="PEM file of its private key.")

    @model_validator(mode="after")
    def _both_or_none(self) -> TlsOptions:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self


def client_tls(options: TlsOptions, host: str, tools: Tools) -> Any:
    """The connection creator for `host`. Raises `DestinationError` ("bad_certificate")."""
    try:
        trust = _trust(options.trust_file, tools)
        own = None
        if options.cert_file is not None and options.key_file is not None:
            own = PrivateCertificate.loadPEM(
                (tools.folder / options.cert_file).read_bytes()
                + b"\n"
                + (tools.folder / options.key_file).read_bytes()
            )
        return optionsForClientTLS(options.server_name or host, trustRoot=trust, clientCertificate=own)
    except (OSError, SSL.Error, ValueError) as error:
        raise DestinationError(
            f"the certificates cannot be used ({type(error).__name__})", code="bad_certificate"
        ) from error


def _trust(file: Path | None, tools: Tools) -> Any:
    if file is None:
        return tools.trust_roots or platformTrust()
    pieces = [
        piece + PEM_END for piece in (tools.folder / file).read_bytes().split(PEM_END) if b"BEGIN" in piece
    ]
    if not pieces:
        raise ValueError("no certificate in the file")
    return trustRootFromCertificates([Certificate.loadPEM(piece) for piece in pieces])
