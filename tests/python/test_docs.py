"""The documentation: every page is in the book, every link leads somewhere, and the site is built of it."""

import re
import subprocess
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest

from runs import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
BESIDE = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md")]


def prose(page):
    """A page without its code."""
    return re.sub(r"^( *)```.*?^\1```$|`[^`\n]*`", "", page.read_text(), flags=re.M | re.S)


def links(page):
    """What a page links to and shows, but for other places of the web."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [link for link in found if not urlsplit(link).scheme]


def anchors(page):
    """The names of headings, as GitHub and mdBook give them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *BESIDE], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / unquote(path)).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        # What a page of the site links to must be in the site.
        assert page not in PAGES or target.is_relative_to(DOCS), f"{link}: outside of docs"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_the_book_has_every_page():
    listed = [DOCS / link for link in links(DOCS / "SUMMARY.md")]
    assert len(listed) == len(set(listed))
    assert {*listed, DOCS / "SUMMARY.md"} == set(PAGES)


class References(HTMLParser):
    """What a page of the site refers to."""

    def __init__(self, text):
        super().__init__()
        self.found, self.ids = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.add(attributes.get("id"))
        self.found += [attributes[name] for name in ("href", "src") if attributes.get(name)]


def test_the_site_is_built_and_holds_together(tmp_path):
    site = tmp_path / "site"
    subprocess.run([ROOT / "scripts" / "docs.sh", site], check=True, capture_output=True, timeout=120)
    pages = {page: References(page.read_text()) for page in site.glob("*.html") if page.name not in ("404.html", "print.html")}
    assert {page.stem for page in pages} >= {page.stem for page in PAGES} - {"SUMMARY"}
    for page, references in pages.items():
        for reference in references.found:
            parts = urlsplit(reference)
            if parts.scheme:
                continue
            target = (page.parent / unquote(parts.path)) if parts.path else page
            assert target.exists(), f"{page.name}: {reference}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].ids, f"{page.name}: {reference}"
