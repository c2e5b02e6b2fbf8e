"""Opens a page in a real browser, where one is installed, and says what became of it."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

_PROBE = """
<script>
addEventListener("load", () => {
  const root = document.documentElement;
  const high = svg => svg.getBoundingClientRect().height > 100;
  root.dataset.pictures = [...document.images].filter(image => image.naturalWidth > 0).length;
  root.dataset.plots = [...document.querySelectorAll("svg")].filter(high).length;
  root.dataset.overflow = root.scrollWidth - root.clientWidth;
});
</script>
"""


class _Root(HTMLParser):
    """The attributes of <html>."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "html":
            self.attributes = dict(attrs)


def look_at(text: str, folder: Path, width: int) -> dict[str, int]:
    """{"pictures": that are whole, "plots": that are drawn, "overflow": pixels to scroll sideways} of a page.

    Fails when the browser has a complaint in its console. folder: for the page and the browser's profile.
    """
    file = folder / f"page_{width}.html"
    file.write_text(text.replace("</body>", _PROBE + "</body>"), encoding="utf-8")
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--window-size={width},900",
        f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert "CONSOLE" not in done.stderr, done.stderr
    found = _Root(done.stdout).attributes
    assert "data-pictures" in found, f"the page did not load: {done.stderr}"
    return {name: int(found[f"data-{name}"]) for name in ("pictures", "plots", "overflow")}
