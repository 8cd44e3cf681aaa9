"""Pages and probes. Floor 8: reads the stores, acts through operations."""

from broker.web.app import make_app

__all__ = ["make_app"]
