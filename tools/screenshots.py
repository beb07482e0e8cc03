"""Draw the README's pictures from the running demo: `make screenshots`.

Starts the demo on a free port, waits for its incident, and photographs the page in a real Chromium. Needs the development
requirements and a Chromium on the PATH.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
SHOTS = (
    ("page-dark.png", 1440, 900, "dark", "1d"),
    ("page-light.png", 1440, 900, "light", "1h"),
    ("page-phone.png", 390, 844, "dark", "1d"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--after", type=float, default=27.0, help="seconds after the bot's start; 27 is amid the incident")
    options = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("screenshots: no chromium on the PATH; install it (Debian: apt install chromium)", file=sys.stderr)
        return 2
    options.into.mkdir(parents=True, exist_ok=True)
    port = free_port()
    demo = subprocess.Popen([sys.executable, "-m", "algowatch", "demo", "--listen", f"127.0.0.1:{port}"])
    try:
        wait_for_bot(f"http://127.0.0.1:{port}")
        time.sleep(options.after)
        photograph(f"http://127.0.0.1:{port}/", browser, options.into)
    finally:
        demo.terminate()
        demo.wait(10)
    return 0


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def wait_for_bot(url: str, patience_s: float = 60.0) -> None:
    """Until the demo's bot is scraped."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/api/v1/query?query=process_start_time_seconds", timeout=5) as answer:
                if b"demo-bot" in answer.read():
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"the demo's bot is not scraped after {patience_s} s")


def photograph(url: str, browser: str, folder: Path) -> None:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        for name, width, height, scheme, shown in SHOTS:
            page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=1)
            page.goto(url)
            page.get_by_text(shown, exact=True).first.click()
            page.wait_for_timeout(2500)
            page.screenshot(path=folder / name)
            page.close()
            print(f"{folder / name}: {(folder / name).stat().st_size // 1024} kB")
        chromium.close()


if __name__ == "__main__":
    sys.exit(main())
