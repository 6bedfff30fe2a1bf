"""The report of a build is a page that people can read: on a phone, in the dark, in a real browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingot.image.page import render
from tests.e2e.webdriver import Browser, browser
from tests.unit.image.reports import ROLES, report

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.disk(2)]
PHONE, DESK = 375, 1280
# The least contrast of normal text: https://www.w3.org/TR/WCAG22/#contrast-minimum.
CONTRAST = 4.5
# Texts with too little contrast to what is painted behind them; of a text in a drawing, that is its box.
FAINT = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const rgba = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  return canvas.getImageData(0, 0, 1, 1).data; };
const light = colour => { const [r, g, b] = [...rgba(colour)].slice(0, 3).map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + 0.05) / (y + 0.05); };
const behind = element => { for (let at = element; at; at = at.parentElement) {
  const box = at.querySelector && at.tagName === 'svg' && at.querySelector(':scope > rect');
  if (box) return getComputedStyle(box).fill;
  const colour = getComputedStyle(at).backgroundColor; if (rgba(colour)[3] === 255) return colour; } return 'white'; };
const found = [];
for (const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); walker.nextNode();) {
  const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
  if (!text || element.tagName === 'title') continue;
  const style = getComputedStyle(element), ink = element.tagName === 'text' ? style.fill : style.color;
  const contrast = ratio(ink, behind(element));
  if (contrast < LEAST) found.push([text.slice(0, 40), contrast]);
}
return found;
""".replace("LEAST", str(CONTRAST))
# Names that the page shows, as boxes that a reader sees.
VISIBLE = """
const seen = new Set();
for (const element of document.querySelectorAll('.line span')) {
  const box = element.getBoundingClientRect();
  if (box.width > 0 && box.height > 0 && box.left >= 0 && box.right <= innerWidth) seen.add(element.textContent);
}
return [...seen];
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything that a report may say."""
    before = report(number=3, declared={**report()["declared"], "efa": "1.42.0"}, seconds={"boot": 9.0})
    folder = tmp_path_factory.mktemp("pages")
    folder.chmod(0o755)
    (folder / "report.html").write_text(render(report(), before))
    return folder / "report.html"


@pytest.fixture(scope="module")
def reader(page: Path) -> Iterator[Browser]:
    with browser(page.parent, page.with_name("browser.log")) as opened:
        yield opened


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_of_the_page_is_easy_to_read(reader: Browser, page: Path, width: int, scheme: str) -> None:
    reader.open(f"file:///pages/{page.name}", width=width, scheme=scheme)
    assert reader.complaints() == []
    ground = reader.run("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert reader.run(FAINT) == []


@pytest.mark.parametrize("width", [320, PHONE, DESK])
def test_the_page_fits_the_width_and_shows_every_role(reader: Browser, page: Path, width: int) -> None:
    reader.open(f"file:///pages/{page.name}", width=width)
    sizes: dict[str, Any] = reader.run("return {page: document.documentElement.scrollWidth, window: innerWidth}")
    # A bar for scrolling down takes a little.
    assert sizes["page"] <= sizes["window"] == width
    assert set(ROLES) <= set(reader.run(VISIBLE))


def test_a_text_that_is_hard_to_read_would_be_found(reader: Browser, page: Path) -> None:
    reader.open(f"file:///pages/{page.name}", width=DESK)
    for place, rule in (("h1", "color"), ("svg text", "fill")):
        reader.run(f"document.querySelector('{place}').style.{rule} = '#888888'")
    assert len(reader.run(FAINT)) == 2
