#!/usr/bin/env python3
"""Draws docs/report.png: the HTML report on the runs that the project carries, as Chromium shows it."""

import subprocess
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]


def main():
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        report = Path(folder) / "report.html"
        runs = sorted((ROOT / "data" / "runs").iterdir())
        subprocess.run([ROOT / "target" / "debug" / "epsiloscope", "report", *runs, "--out", report], check=True)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1180, "height": 1560})
        page.goto(report.as_uri())
        page.wait_for_selector("html[data-ready]")
        page.select_option("#run", label="cnn-training")
        page.select_option("#scope", "tensor")
        page.fill("#epsilon-text", "1e-3")
        page.press("#epsilon-text", "Enter")
        page.wait_for_timeout(300)
        page.screenshot(path=ROOT / "docs" / "report.png")
        browser.close()


if __name__ == "__main__":
    main()
