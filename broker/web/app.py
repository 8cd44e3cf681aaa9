"""The web process's application: a status page in numbers, and the probes. Floor 8.

Nobody signs in yet, so nothing that is a patient's is shown here, and it listens on loopback only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from broker.errors import BrokerError
from broker.status import Readiness, Status

__all__ = ["HEADERS", "make_app"]

HERE = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

NOT_SIGNED_IN = (
    "What this link names is shown to people who have signed in, and this broker lets nobody sign in yet. "
    "Your care coordinator can tell you what it says."
)


def make_app(status: Callable[[], Status], ready: Callable[[], Readiness]) -> FastAPI:
    """The application. `status` and `ready` block; they are asked in threads, anew for each request."""
    app = FastAPI(title="Handoff", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    pages = Jinja2Templates(env=_environment())

    @app.middleware("http")
    async def with_headers(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await answer(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.exception_handler(BrokerError)
    async def failed(request: Request, error: BrokerError) -> Response:
        page = {"title": "Not now", "text": "The broker's database does not answer.", "code": error.code}
        return pages.TemplateResponse(request, "message.html", page, status_code=503)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        page = {"title": str(error.status_code), "text": str(error.detail), "code": ""}
        return pages.TemplateResponse(request, "message.html", page, status_code=error.status_code)

    @app.get("/", response_class=HTMLResponse)
    def status_page(request: Request) -> Response:
        return pages.TemplateResponse(request, "status.html", {"status": status()})

    @app.get("/status.json")
    def status_document() -> Response:
        return Response(orjson.dumps(status(), option=orjson.OPT_NON_STR_KEYS), media_type="application/json")

    @app.get("/n/{name}", response_class=HTMLResponse)
    def notification(request: Request, name: str) -> Response:
        """Where the links in mails lead. The same for every name: it must not tell which there are."""
        page = {"title": "Nobody is signed in", "text": NOT_SIGNED_IN, "code": ""}
        return pages.TemplateResponse(request, "message.html", page, status_code=403)

    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """Says that this process lives; asks nobody else."""
        return "ok\n"

    @app.get("/readyz")
    def readyz() -> Response:
        """Whether messages can be taken, worked and delivered now: 200, or 503 with what is amiss."""
        found = ready()
        content = {"ready": found.ready, "well": list(found.well), "amiss": dict(found.amiss)}
        return JSONResponse(content, 200 if found.ready else 503)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["time"] = _time
    environment.filters["number"] = lambda count: f"{count:,}"
    return environment


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "never"
