"""TLS towards a destination: whom we trust, and what we show of ourselves. Floor 5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL import SSL
from pydantic import BaseModel, Field, model_validator
from twisted.internet.ssl import (
    Certificate,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)

from broker.destinations.base import Tools
from broker.errors import DestinationError

__all__ = ["TlsOptions", "client_tls"]


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
        trust, own = _trust(options.trust_file, tools), _own(options, tools)
        return optionsForClientTLS(options.server_name or host, trustRoot=trust, extraCertificateOptions=own)
    except (OSError, SSL.Error, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise DestinationError(
            f"the certificates cannot be used ({type(error).__name__})", code="bad_certificate"
        ) from error


def _own(options: TlsOptions, tools: Tools) -> dict[str, Any]:
    """Our certificate, what stands between it and its authority, and its key; nothing where none is given."""
    if options.cert_file is None or options.key_file is None:
        return {}
    own, *between = load_pem_x509_certificates((tools.folder / options.cert_file).read_bytes())
    key = load_pem_private_key((tools.folder / options.key_file).read_bytes(), password=None)
    return {"certificate": own, "privateKey": key, "extraCertChain": between}


def _trust(file: Path | None, tools: Tools) -> Any:
    if file is None:
        return tools.trust_roots or platformTrust()
    pem = (tools.folder / file).read_bytes()
    trusted = [Certificate.loadPEM(one.public_bytes(Encoding.PEM)) for one in load_pem_x509_certificates(pem)]
    return trustRootFromCertificates(trusted)
