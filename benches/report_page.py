#!/usr/bin/env python3
"""How soon the HTML report answers its slider, in Chromium, with few and with all rows of its table.

    cargo run --example large_run -p epsiloscope-page -- runs/large 1000 5000 50
    epsiloscope report runs/large --per tensor --out large.html
    benches/report_page.py large.html [BEFORE.html …]

Several reports are opened side by side and moved in turn, so that what else the machine does meets all of them. Times of a
move are from the event on: until its handler is left, until the next frame begins, until that frame is painted; and, of a
quarter of the moves, the processor time of the page's main thread, which other work on the machine does not lengthen.
"""

import argparse
import json
import random
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

MOVE = """async (value) => {
    const slider = document.getElementById('epsilon');
    const start = performance.now();
    slider.value = String(value);
    slider.dispatchEvent(new Event('input'));
    const handled = performance.now();
    await new Promise(requestAnimationFrame);
    const framed = performance.now();
    await new Promise((done) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = done;
        port2.postMessage(null);
    });
    return [handled, framed, performance.now()].map((time) => time - start);
}"""
# Beyond the rest after which rows out of sight follow.
PAUSE = 400


def opened(browser, report, rows):
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(report.resolve().as_uri())
    page.wait_for_selector("html[data-ready]")
    while rows == "all" and page.locator("#parts-more").is_visible():
        page.click("#parts-more")
    page.evaluate("document.getElementById('parts').scrollIntoView({ behavior: 'instant' })")
    page.wait_for_timeout(PAUSE)
    return page


def places(page, n, seed):
    least, greatest = (int(page.get_attribute("#epsilon", end)) for end in ("min", "max"))
    return [random.Random(seed * n + move).randrange(least, greatest) for move in range(n)]


def move(page, place):
    page.bring_to_front()
    times = page.evaluate(MOVE, place)
    page.wait_for_timeout(PAUSE)
    return times


def processor_time(browser, page, places):
    """Milliseconds per move of the page's main thread, by its own clock."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        page.bring_to_front()
        browser.start_tracing(page=page, path=path, categories=["toplevel", "devtools.timeline"])
        for place in places:
            move(page, place)
        browser.stop_tracing()
        events = json.loads(path.read_text())["traceEvents"]
    threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    busiest = {}
    for event in events:
        thread = (event["pid"], event["tid"])
        if event["name"] == "ThreadControllerImpl::RunTask" and threads.get(thread) == "CrRendererMain":
            busiest[thread] = busiest.get(thread, 0) + event.get("tdur", 0) / 1000
    return max(busiest.values()) / len(places)


def measure(browser, reports, rows, n):
    pages = [opened(browser, report, rows) for report in reports]
    moves = [places(page, n, 1) for page in pages]
    times = [[] for _ in pages]
    for turn in range(n):
        for page, to, of_page in zip(pages, moves, times):
            of_page.append(move(page, to[turn]))
    for report, page, of_page in zip(reports, pages, times):
        spent = processor_time(browser, page, places(page, n // 4, 2))
        shown = page.locator("#parts tbody tr").count()
        columns = zip(("handler", "frame", "painted"), zip(*of_page))
        text = ", ".join(f"{name} {statistics.median(column):.1f} ({max(column):.1f})" for name, column in columns)
        print(f"{report.name}, {shown} rows: {text}, processor {spent:.1f}", flush=True)
        page.context.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", nargs="+", type=Path)
    parser.add_argument("--moves", type=int, default=60)
    arguments = parser.parse_args()
    print("milliseconds per move: median (worst)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for rows in ("few", "all"):
            measure(browser, arguments.reports, rows, arguments.moves)
        browser.close()


if __name__ == "__main__":
    main()
