"""A Chromium and a server for the built book, shared by the tests, the audit and the screenshots.

``python -m tests.book.browser screenshots`` takes the two screenshots of the README.
"""

from __future__ import annotations

import functools
import gzip
import http.server
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
HTML = Path(os.environ.get("BOOK_HTML", ROOT / "_build" / "html"))
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ("--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
         "--disable-background-networking --disable-component-update --disable-sync").split()


def chromium() -> str | None:
    """Path of a Chromium: ``$CHROMIUM``, one on the PATH, or the one that playwright installed."""
    for name in (os.environ.get("CHROMIUM", ""), *NAMES):
        if name and (found := shutil.which(name)):
            return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def pages() -> list[str]:
    """Names of the book's pages in reading order, without suffix."""
    def walk(entry: Any) -> Iterator[str]:
        if isinstance(entry, dict):
            yield from (entry[key] for key in ("root", "file") if key in entry)
            for key in ("parts", "chapters", "sections"):
                yield from walk(entry.get(key))
        elif isinstance(entry, list):
            for part in entry:
                yield from walk(part)
    return list(walk(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))))


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files, compressed for who accepts it, as a server for static pages does."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        if not path.is_file():
            self.send_error(404)
            return
        body = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Cache-Control", "max-age=3600")
        if "gzip" in self.headers.get("Accept-Encoding", "") and path.suffix in {
            ".html", ".css", ".js", ".svg", ".ipynb"
        }:
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serve(folder: Path = HTML) -> Iterator[str]:
    """Serve a folder on a free port of this machine; yield its address."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def launch(executable: str, *flags: str) -> Iterator[Browser]:
    """Start the browser without a window; stop it in the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=[*FLAGS, *flags])
        try:
            yield browser
        finally:
            browser.close()


def take_screenshots() -> None:
    """Write the README's screenshots, one light and one dark, into ``_static``."""
    executable = chromium()
    if executable is None:
        sys.exit("no Chromium found: install one, or name it in CHROMIUM")
    with serve() as address, launch(executable) as browser:
        for scheme, subject in (("light", "div.math:has(a.checked)"), ("dark", "softmax-sliders")):
            page = browser.new_page(viewport={"width": 1180, "height": 760}, color_scheme=scheme,
                                    reduced_motion="reduce")
            page.goto(f"{address}/chapters/softmax.html")
            page.evaluate("document.fonts.ready")
            for _ in range(2):  # what comes into sight is laid out then, and may move the rest
                page.locator(subject).first.evaluate("e => e.scrollIntoView({block: 'center'})")
            page.wait_for_timeout(300)  # the sidebar marks the section, and comes to rest
            path = ROOT / "_static" / f"readme-{scheme}.png"
            page.screenshot(path=path)
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")
            page.close()


if __name__ == "__main__":
    if sys.argv[1:] != ["screenshots"]:
        sys.exit(__doc__)
    take_screenshots()
