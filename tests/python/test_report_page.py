"""The HTML report in Chromium: what it shows is what the tables hold, and nothing gets in or out."""

import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from runs import ROOT, analyse, call, program

CHROMIUM = Path("/usr/bin/chromium")
if not CHROMIUM.is_file():
    pytest.skip("Chromium is not installed (apt-get install chromium)", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

REAL = [ROOT / "data" / "runs" / name for name in ("cnn-calibration", "cnn-training", "mlp-rmsprop")]
HOSTILE = "</script><img src=x onerror=alert(1)>"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        # No sandbox: tests run as root in containers.
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report on the runs that the project carries."""
    out = tmp_path_factory.mktemp("reports") / "report.html"
    call("epsiloscope", "report", *REAL, "--out", out)
    return out


@contextmanager
def opened(browser, path, viewport=DESK, scheme="light"):
    """A page that made no request but for itself, wrote nothing to the console, and opened no dialog."""
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    page = context.new_page()
    events = []
    page.on("console", lambda message: events.append(message.text))
    page.on("pageerror", lambda error: events.append(str(error)))
    page.on("dialog", lambda dialog: events.append(f"dialog {dialog.message}"))
    page.on("request", lambda request: events.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]")
    yield page
    assert events == [path.as_uri()]
    context.close()


def number(page, selector):
    """The number that an element shows, unrounded."""
    return float(page.locator(selector).get_attribute("data-value"))


def settle(page):
    """Waits for what follows ε with the next frame."""
    page.evaluate("() => new Promise(requestAnimationFrame)")


def set_epsilon(page, text):
    page.fill("#epsilon-text", text)
    page.press("#epsilon-text", "Enter")
    settle(page)


def write_large_run(folder, *arguments):
    large_run = program("epsiloscope").parent / "examples" / "large_run"
    subprocess.run([large_run, folder, *map(str, arguments)], check=True, timeout=120)


def candidates(run, *options):
    """What `epsiloscope candidates` says of one ε: the last row group is that asked for."""
    return [row for row in analyse("candidates", run, *options) if row["role"] == "asked"]


def check_tiles(page, row):
    assert number(page, "#share") == row["share_below"]
    assert page.inner_text("#regime") == row["regime"]
    rates = page.locator("#rate")
    assert number(page, "#rate") == pytest.approx(row["rate_median"], rel=1e-12)
    assert float(rates.get_attribute("data-low")) == pytest.approx(row["rate_low"], rel=1e-12)
    assert float(rates.get_attribute("data-high")) == pytest.approx(row["rate_high"], rel=1e-12)
    assert number(page, "#matched") == pytest.approx(row["matched_learning_rate"], rel=1e-12)
    assert number(page, "#regime-caption") == pytest.approx(row["sgd_rate"], rel=1e-12)


def test_no_rate_is_shown_where_none_is_known(browser, tmp_path):
    for step in range(1, 4):
        np.savez(tmp_path / f"{step}.npz", **{"fc.weight": np.geomspace(1e-9, 1, 500, dtype=np.float32) * step})
    run, out = tmp_path / "run", tmp_path / "report.html"
    call("epsiloscope", "import", "npz", tmp_path, "--out", run)
    call("epsiloscope", "report", run, "--optimizer", "adam", "--out", out)
    with opened(browser, out) as page:
        assert "lr –, ε –" in page.inner_text("#about-run")
        for epsilon in ("1e-8", "1e2"):
            set_epsilon(page, epsilon)
            for tile in ("rate", "matched"):
                assert page.inner_text(f"#{tile}") == "–" and "not known" in page.inner_text(f"#{tile}-caption")
            (row,) = candidates(run, "--optimizer", "adam", "--epsilon", epsilon)
            assert number(page, "#share") == row["share_below"] and page.inner_text("#regime") == row["regime"]
        assert page.inner_text("#regime-caption") == "SGD with momentum"
        assert "not known" in page.inner_text("#rates-caption")
    call("epsiloscope", "report", run, "--optimizer", "adam", "--lr", "1e-3", "--out", out)
    with opened(browser, out) as page:
        set_epsilon(page, "1e-4")
        check_tiles(page, candidates(run, "--optimizer", "adam", "--lr", "1e-3", "--epsilon", "1e-4")[0])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_any_epsilon_does_what_candidates_says(browser, report, place):
    run = REAL[place]
    with opened(browser, report) as page:
        page.select_option("#run", str(place))
        for optimizer, epsilons in {"adam": ["1e-8", "1e-4", "1e-2"], "adabelief": ["1e-16", "1e-9"]}.items():
            page.select_option("#optimizer", optimizer)
            for epsilon in epsilons:
                set_epsilon(page, epsilon)
                (row,) = candidates(run, "--optimizer", optimizer, "--epsilon", epsilon)
                check_tiles(page, row)


@pytest.mark.parametrize("scope", ["layer", "kind", "tensor"])
def test_shares_per_part_are_those_of_candidates(browser, report, scope):
    with opened(browser, report) as page:
        page.select_option("#run", "1")
        page.select_option("#scope", scope)
        set_epsilon(page, "1e-3")
        rows = candidates(REAL[1], "--optimizer", "adam", "--epsilon", "1e-3", "--per", scope)
        shown = page.locator("#parts tbody tr")
        assert shown.count() == len(rows)
        for row in rows:
            cells = page.locator(f'#parts tr[data-name="{row["name"]}"] td')
            assert float(cells.nth(5).get_attribute("data-value")) == row["share_below"]
            assert float(cells.nth(7).get_attribute("data-value")) == pytest.approx(row["rate_median"], rel=1e-12)


def test_bounds_are_those_of_estimate_and_the_binding_ones_are_marked(browser, report):
    estimates = analyse("estimate", REAL[1], "--optimizer", "adam", "--per", "tensor")
    with opened(browser, report) as page:
        page.select_option("#run", "1")
        page.select_option("#scope", "tensor")
        for row in estimates:
            shown = page.locator(f'#parts tr[data-name="{row["name"]}"]')
            bounds = [float(shown.locator("td").nth(place).get_attribute("data-value")) for place in (2, 3)]
            assert bounds == [row["lower"], row["upper"]]
            badge = shown.locator(".badge")
            assert (badge.inner_text() if badge.count() else "") == (f"{row['sets']} bound" if row["sets"] else "")
        (whole,) = analyse("estimate", REAL[1], "--optimizer", "adam", "--combination", "extremes")
        lower, upper = whole["search_lower"], whole["search_upper"]
        verdict = page.inner_text("#verdict").replace("\u2060", "").replace("\u00a0", " ")
        assert f"[{lower:.0e}, {upper:.0e}]".replace("e-0", "e-").replace("e+00", "e0") in verdict


@pytest.mark.parametrize(("scope", "name"), [("run", None), ("layer", "conv1"), ("tensor", "fc1.weight")])
def test_histograms_of_steps_are_those_of_the_tables(browser, report, scope, name):
    rows = analyse("histogram", REAL[1], "--quantity", "gradient", "--per", scope, "--window", 1)
    with opened(browser, report) as page:
        page.select_option("#run", "1")
        page.select_option("#scope", scope)
        if name is not None:
            page.select_option("#group", label=name)
        page.uncheck("#all-steps")
        page.locator("#window").fill("41")
        page.click("#histogram-numbers summary")
        page.wait_for_selector("#histogram-table tbody tr")
        assert page.inner_text("#window-steps") == "step 42"
        shown = page.eval_on_selector_all(
            "#histogram-table tbody tr",
            "rows => rows.map(({ dataset }) => [Number(dataset.bin), Number(dataset.count), Number(dataset.cumulative)])",
        )
        of_step = [row for row in rows if row["first_step"] == 42 and row["name"] == name]
        assert shown == [[row["bin"], row["count"], row["cumulative"]] for row in of_step]
        page.check("#all-steps")
        total = analyse("histogram", REAL[1], "--quantity", "gradient", "--per", scope)
        counts = page.eval_on_selector_all("#histogram-table tbody tr", "rows => rows.map((row) => Number(row.dataset.count))")
        assert counts == [row["count"] for row in total if row["name"] == name]


def test_the_slider_moves_by_keys_and_says_where_it_is(browser, report):
    with opened(browser, report) as page:
        page.focus("#epsilon")
        before = number(page, "#epsilon-text")
        page.keyboard.press("ArrowRight")
        assert number(page, "#epsilon-text") == pytest.approx(before * 10 ** (1 / 40), rel=1e-12)
        assert page.get_attribute("#epsilon", "aria-valuetext") == page.input_value("#epsilon-text")
        for _ in range(39):
            page.keyboard.press("ArrowRight")
        assert number(page, "#epsilon-text") == 1e-7
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
        names = page.eval_on_selector_all(
            "select, input, button",
            "nodes => nodes.filter((node) => !(node.labels?.length || node.ariaLabel || node.textContent.trim())).map((node) => node.id)",
        )
        assert names == []


def test_runs_stand_side_by_side(browser, report):
    with opened(browser, report) as page:
        set_epsilon(page, "1e-3")
        rows = page.locator("#runs tbody tr")
        assert rows.count() == len(REAL)
        for run in REAL:
            (row,) = candidates(run, "--optimizer", "adam", "--epsilon", "1e-3")
            shown = page.locator(f'#runs tr[data-name="{row["run"]}"] .share')
            assert float(shown.get_attribute("data-value")) == row["share_below"]
        page.click("#multiples button:nth-child(3)")
        assert "mlp-rmsprop" in page.inner_text("#about-run")


def test_a_sample_shows_its_interval(browser, tmp_path):
    # AMSGrad's critical ε were not recorded, so that they are replayed from the sample.
    out = tmp_path / "sample.html"
    call("epsiloscope", "report", REAL[1], "--optimizer", "amsgrad", "--out", out)
    (row,) = candidates(REAL[1], "--optimizer", "amsgrad", "--epsilon", "1e-3")
    with opened(browser, out) as page:
        set_epsilon(page, "1e-3")
        share = page.locator("#share")
        shown = [float(share.get_attribute(f"data-{side}")) for side in ("low", "high")]
        assert shown == pytest.approx([row["share_low"], row["share_high"]], rel=1e-12)
        assert row["share_low"] < row["share_high"]


def test_phones_and_dark_screens_are_served(browser, report):
    with opened(browser, report, PHONE, "dark") as page:
        for scope in ("layer", "tensor"):
            page.select_option("#scope", scope)
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.click("#theme")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


def test_hostile_names_stay_text(browser, tmp_path):
    folder = tmp_path / HOSTILE.replace("/", "∕")
    write_large_run(folder, 4, 8, 1, f"{HOSTILE}{{{{data}}}}\u2028")
    out = tmp_path / "hostile.html"
    call("epsiloscope", "report", folder, "--out", out)
    with opened(browser, out) as page:
        assert page.locator("img").count() == 0
        page.select_option("#scope", "tensor")
        page.select_option("#group", index=1)
        assert HOSTILE in page.inner_text("#parts")
        assert "onerror" in page.inner_text("#about-run")
        policy = page.get_attribute("meta[http-equiv]", "content")
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    text = out.read_text()
    assert HOSTILE not in text and "onerror=alert(1)>" not in text.split("<noscript>")[0]


def test_what_got_in_would_not_run(browser, report):
    context = browser.new_context()
    page = context.new_page()
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-ready]")
    inject = """() => {
        const script = document.createElement('script');
        script.textContent = 'window.hit = true';
        document.head.append(script);
        document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.hit = true"><p style="color: red">');
        return new Promise((resolve) => setTimeout(() => resolve(window.hit === true), 100));
    }"""
    assert page.evaluate(inject) is False
    context.close()


def test_without_scripts_the_verdict_is_there(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert "search ε of adam in [1e-4, 1e-1]" in page.inner_text("body")
    context.close()


@pytest.fixture(scope="module")
def large_report(tmp_path_factory):
    """A report on 1,000 tensors over 5,000 steps, every 50th recorded, tensor by tensor."""
    folder = tmp_path_factory.mktemp("large")
    write_large_run(folder / "run", 1000, 5000, 50)
    call("epsiloscope", "report", folder / "run", "--per", "tensor", "--out", folder / "report.html")
    shutil.rmtree(folder / "run")
    return folder / "report.html"


def test_a_large_run_stays_small_and_quick(browser, large_report):
    size = large_report.stat().st_size / MEGABYTE
    assert size < 15
    with opened(browser, large_report) as page:
        rows = page.locator("#parts tbody tr")
        few = slowest_move(page)
        page.click("#parts-more")
        assert rows.count() == 1000
        page.evaluate("document.getElementById('parts').scrollIntoView()")
        every = slowest_move(page)
        page.fill("#filter", ".0499.")
        assert rows.count() == 2
    print(f"1000 tensors, 5000 steps: {size:.1f} MB, slider answers within {few:.0f} ms, with all rows {every:.0f} ms")


def slowest_move(page):
    """Milliseconds at most from a move of the slider to the end of the frame that shows it."""
    return page.evaluate(
        """async () => {
            const slider = document.getElementById('epsilon');
            let slowest = 0;
            for (let value = Number(slider.min); value < Number(slider.max); value += 16) {
                const start = performance.now();
                slider.value = String(value);
                slider.dispatchEvent(new Event('input'));
                await new Promise(requestAnimationFrame);
                await new Promise((done) => setTimeout(done));
                slowest = Math.max(slowest, performance.now() - start);
            }
            return slowest;
        }"""
    )


def test_rows_out_of_sight_follow_when_epsilon_rests_when_printed_and_when_seen(browser, large_report):
    with opened(browser, large_report) as page:
        page.click("#parts-more")
        rows = page.locator("#parts tbody tr")
        of_row = "row => [row.querySelector('.share').textContent, row.querySelector('.share').dataset.value]"
        nothing, everything = (page.get_attribute("#epsilon", end) for end in ("min", "max"))
        page.locator("#epsilon").fill(everything)
        sync_api.expect(rows.last.locator(".share")).to_have_text("100.0 %")
        sync_api.expect(rows.nth(500).locator(".share")).to_have_text("100.0 %")
        printed = """(least) => {
            const slider = document.getElementById('epsilon');
            slider.value = least;
            slider.dispatchEvent(new Event('input'));
            dispatchEvent(new Event('beforeprint'));
        }"""
        page.evaluate(printed, nothing)
        assert rows.last.evaluate(of_row) == ["0.0 %", "0"]
        # By keyboard or search one comes to rows that were never laid out.
        assert rows.last.evaluate("row => row.checkVisibility({ contentVisibilityAuto: true })") is False
        rows.last.get_by_role("button").focus()
        sync_api.expect(rows.last).to_be_in_viewport()
        assert page.get_by_role("row").count() == 1001
        assert page.get_by_role("rowheader", name="block.0499.weight").count() == 1


def test_a_burst_of_moves_costs_one_update(browser, large_report):
    with opened(browser, large_report) as page:
        burst = """async () => {
            const slider = document.getElementById('epsilon');
            let updates = 0;
            new MutationObserver((records) => { updates += records.length; })
                .observe(document.getElementById('share'), { attributes: true, attributeFilter: ['data-value'] });
            for (let move = 0; move < 50; move += 1) {
                slider.value = String(Number(slider.min) + 4 * move);
                slider.dispatchEvent(new Event('input'));
            }
            await new Promise(requestAnimationFrame);
            await new Promise((done) => setTimeout(done));
            return [updates, Number(slider.value), slider.getAttribute('aria-valuetext')];
        }"""
        least = int(page.get_attribute("#epsilon", "min"))
        updates, value, text = page.evaluate(burst)
        assert (updates, value) == (1, least + 4 * 49)
        assert text == page.input_value("#epsilon-text")


def test_a_run_that_tells_of_no_epsilon_shows_its_magnitudes_alone(browser, tmp_path):
    write_large_run(tmp_path / "run", 4, 8, 2)
    out = tmp_path / "report.html"
    # Every second step is recorded, of which no moment can be made, and no critical ε of Yogi were taken.
    call("epsiloscope", "report", tmp_path / "run", "--optimizer", "yogi", "--out", out)
    with opened(browser, out) as page:
        assert page.inner_text("#verdict") == "No critical ε is known of this run."
        assert page.inner_text("#notes").startswith("yogi: ")
        assert page.locator("#heatmap-most").is_visible()
        for of_epsilon in ("#epsilon", "#share", "#response", "#rates", "#parts", "#optimizer"):
            assert not page.locator(of_epsilon).is_visible()
