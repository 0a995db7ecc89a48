"""The HTML report on runs and tensors with hostile names, in Chromium: nothing of them runs, loads or becomes an element."""

from hostile import NAMES, short
from runs import call
from test_report_page import browser, opened  # noqa: F401 - the first is a fixture

# What a name could add to the page, if it were markup.
MARKUP = "img, iframe, object, embed, form, base, link:not([rel=icon]), a[href^=javascript], [onerror], [onload], [onfocus], [ontoggle], [onmouseover]"
# Lists show all names; of the charts, drawn anew with each, every so many are looked at.
EVERY = 20
# A violation of the page's policy says so on the console, which nothing may be written to.
TRAP = "addEventListener('securitypolicyviolation', (event) => console.error(event.violatedDirective))"


def elements(page):
    """How many elements there are that no name may add."""
    return page.locator(MARKUP).count()


def test_names_of_runs(browser, hostile_runs, tmp_path):  # noqa: F811
    out = tmp_path / "runs.html"
    call("epsiloscope", "report", hostile_runs, "--optimizer", "adam", "--out", out)
    with opened(browser, out) as page:
        page.evaluate(TRAP)
        names = page.eval_on_selector_all("#run option", "options => options.map((option) => option.label)")
        assert len(names) == len(NAMES) + 1
        assert page.locator("#runs tbody tr").count() == len(names)
        for place in range(0, len(names), 3 * EVERY):
            page.select_option("#run", index=place)
        assert elements(page) == 0
        assert page.evaluate("typeof window.hit") == "undefined"


def test_names_of_tensors(browser, hostile_runs, tmp_path):  # noqa: F811
    out = tmp_path / "tensors.html"
    call("epsiloscope", "report", hostile_runs / "tensors", "--optimizer", "adam", "--per", "tensor", "--out", out)
    with opened(browser, out) as page:
        page.evaluate(TRAP)
        page.select_option("#scope", "tensor")
        for more in range(3):
            if page.locator("#parts-more").is_visible():
                page.click("#parts-more")
        shown = page.eval_on_selector_all("#parts tbody tr", "rows => rows.map((row) => row.dataset.name)")
        assert set(shown) == set(short(NAMES))
        for place in range(0, page.locator("#group option").count(), EVERY):
            page.select_option("#group", index=place)
        page.fill("#filter", "<script>")
        assert 0 < page.locator("#parts tbody tr").count() < len(shown)
        assert elements(page) == 0
