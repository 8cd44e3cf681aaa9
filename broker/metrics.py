"""/metrics of one process, on a loopback port of its own. Floor 9."""

from __future__ import annotations

from prometheus_client import start_http_server

from broker.errors import OperationError

__all__ = ["serve_metrics"]


def serve_metrics(port: int) -> int:
    """Answers /metrics on 127.0.0.1 from a thread; 0 takes a free port. Returns the port."""
    try:
        server, _thread = start_http_server(port, "127.0.0.1")
    except OSError as error:
        raise OperationError(
            f"/metrics cannot listen on port {port}: {error.strerror}; set `metrics_port`", code="port_taken"
        ) from error
    return int(server.server_port)
