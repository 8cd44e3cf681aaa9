"""The page as a browser meets it."""

import shutil
import threading
import time

import pytest
import uvicorn
from playwright.sync_api import sync_playwright

from broker.status import Readiness
from broker.web import make_app

pytestmark = pytest.mark.slow


@pytest.fixture
def address(status):
    """Where the application is served, from a thread."""
    app = make_app(lambda: status, Readiness)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_the_page_breaks_no_rule_of_its_own_and_fits_a_small_screen(address):
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        complaints = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.goto(address)
        heading = page.get_by_role("heading", name="Status")
        assert heading.is_visible()
        assert (
            page.evaluate("getComputedStyle(document.querySelector('header')).borderBottomStyle") == "solid"
        )
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert complaints == []
        browser.close()
