"""The built book in a real browser: offline, in order, in light and dark, wide and narrow.

Skipped, with the reason, where there is no Chromium or no up-to-date build; with
``REQUIRE_BROWSER=1`` that is a failure. Screenshots of all pages go to ``_build/screenshots``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import numpy as np
import pytest

import softmax_ref
from softmax_ref import textbook
from softmax_ref.verify import interactive
from softmax_ref.verify.interactive import InteractiveFigure, confident_mistake, softmax_sliders
from tests.book.browser import HTML, ROOT, chromium, launch, pages, serve

PAGES = pages()
NOTEBOOKS = [page for page in PAGES if (ROOT / f"{page}.ipynb").exists()]
SCREENSHOTS = ROOT / "_build" / "screenshots"
PART = 6000  # pixels; what can be looked at in one picture
SCHEMES = ("light", "dark")
WIDTHS = (1400, 390)
COMMENT = re.compile(r"/\*.*?\*/|^\s*//.*?$", re.DOTALL | re.MULTILINE)
# Names of XML vocabularies, and the theme's hint in a message on version switchers.
NEVER_LOADED = re.compile(r"http://www\.w3\.org/|https://pydata-sphinx-theme\.readthedocs\.io/")


def skip(reason: str) -> None:
    """Skip with a reason; fail where the browser is required."""
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def out_of_date() -> str:
    """Say what is newer than the built pages, or missing; empty if nothing."""
    shared = [ROOT / "_config.yml", ROOT / "_toc.yml"]
    for folder in ("_ext", "_static", "_templates", "softmax_ref/verify/static"):
        shared += [path for path in (ROOT / folder).rglob("*.*")
                   if path.suffix != ".pyc" and not path.name.startswith("readme-")]
    newest = max(shared, key=lambda path: path.stat().st_mtime)
    for page in PAGES:
        built = HTML / f"{page}.html"
        source = next(path for path in (ROOT / f"{page}.md", ROOT / f"{page}.ipynb")
                      if path.exists())
        if not built.exists():
            return f"{built} is missing: run make book"
        for path in (source, newest):
            if path.stat().st_mtime > built.stat().st_mtime:
                return f"{path.relative_to(ROOT)} is newer than the built {page}: run make book"
    return ""


@pytest.fixture(scope="session")
def built() -> Path:
    if reason := out_of_date():
        skip(reason)
    return HTML


@pytest.fixture(scope="session")
def browser(built: Path) -> Iterator[Any]:
    executable = chromium()
    if executable is None:
        skip("no Chromium found: install one, or name it in CHROMIUM")
        return
    with launch(executable) as running:
        yield running


@pytest.fixture(scope="session")
def address(built: Path) -> Iterator[str]:
    with serve(built) as running:
        yield running


class Visit:
    """A page that notes what it loads, and what goes wrong."""

    def __init__(self, browser: Any, address: str, scheme: str = "light", width: int = 1400):
        self.address = address
        self.page = browser.new_page(viewport={"width": width, "height": 900},
                                     color_scheme=scheme, reduced_motion="reduce")
        self.trouble: list[str] = []
        self.page.on("request", self.note_request)
        self.page.on("console", self.note_message)
        self.page.on("pageerror", lambda error: self.trouble.append(f"error: {error}"))
        self.page.on("response", lambda response: response.status < 400 or self.trouble.append(
            f"{response.status} for {response.url}"))

    def note_request(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.trouble.append(f"request to another host: {request.url}")

    def note_message(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.trouble.append(f"console {message.type}: {message.text}")

    def open(self, path: str) -> Any:
        self.page.goto(f"{self.address}/{path}", wait_until="load")
        self.page.evaluate("document.fonts.ready")
        return self.page


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    opened = Visit(browser, address)
    yield opened
    opened.page.close()


# What is wrong with a page, seen from inside: TeX left as text, formulas or images without
# extent, anything that reaches beyond the right edge.
INSPECT = r"""async () => {
  const style = document.createElement("style"); // lays out what is out of sight, too
  style.textContent = "article > section > section { content-visibility: visible !important; }";
  document.head.append(style);
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
  document.querySelectorAll("details").forEach((folded) => { folded.open = true; });
  const found = [];
  const text = document.querySelector("article, .bd-search-container").cloneNode(true);
  text.querySelectorAll("annotation, pre, code, script, style").forEach((e) => e.remove());
  const tex = text.textContent.match(/\\[a-zA-Z]{2,}|\$\$|\\[([]|\$[^$\n]{1,60}\$/);
  if (tex) found.push("TeX left as text: " + tex[0]);
  for (const math of document.querySelectorAll("article math")) {
    const box = math.getBoundingClientRect();
    if (box.width < 1 || box.height < 1) found.push("formula without extent: " + math.textContent);
  }
  for (const image of document.images) {
    if (!image.naturalWidth) found.push("image does not load: " + image.src);
    if (!image.hasAttribute("alt")) found.push("image without alt text: " + image.src);
    if (image.closest("article") && !image.hasAttribute("width") && !image.src.endsWith(".svg"))
      found.push("image without its size: " + image.src);
  }
  const root = document.scrollingElement;
  for (const box of [root, ...document.querySelectorAll(".bd-content, article")])
    if (box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "clip")
      found.push(`${box.tagName} is ${box.scrollWidth} wide, ${box.clientWidth} fit`);
  return found;
}"""


def photograph(page: Any, name: str, whole: bool) -> None:
    """Leave pictures of a page: of its beginning, or of all of it in parts."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    height = page.evaluate("document.scrollingElement.scrollHeight")
    page.set_viewport_size({**page.viewport_size, "height": min(PART, height)})
    for part, top in enumerate(range(0, height if whole else 1, PART)):
        page.evaluate("top => scrollTo(0, top)", top)
        page.screenshot(path=SCREENSHOTS / f"{name}-{part}.jpg", type="jpeg", quality=70)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", [*PAGES, "search"])
def test_page(browser: Any, address: str, name: str, scheme: str, width: int) -> None:
    opened = Visit(browser, address, scheme, width)
    page = opened.open(f"{name}.html")
    assert page.evaluate(INSPECT) == []
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", background)[:3])) / 3
    assert (brightness > 128) == (scheme == "light"), f"background {background} in {scheme}"
    photograph(page, f"{name.replace('/', '-')}-{scheme}-{width}",
               whole=(scheme, width) in (("light", 1400), ("dark", 390)))
    page.close()
    assert opened.trouble == []


class Document(HTMLParser):
    """Ids, links, loaded files and the description of an HTML page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.description = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in ("img", "script", "iframe", "source") and "src" in values:
            self.loads.append(values["src"])
        if tag == "link" and values.get("rel") in ("stylesheet", "preload", "icon"):
            self.loads.append(values["href"])
        if tag == "meta" and values.get("name") == "description":
            self.description = values["content"]


@pytest.fixture(scope="session")
def documents(built: Path) -> dict[Path, Document]:
    names = [*PAGES, "index", "search", "genindex"]
    return {path: Document(path) for path in (built / f"{name}.html" for name in names)}


def test_links_lead_somewhere(documents: dict[Path, Document]) -> None:
    broken = []
    for path, document in documents.items():
        for link in (*document.links, *document.loads):
            url, anchor = urldefrag(urljoin(path.as_uri(), link))
            if urlparse(url).scheme != "file":
                if link in document.loads:
                    broken.append(f"{path.name} loads {link}")
                continue
            target = Path(unquote(urlparse(url).path))
            if not target.exists():
                broken.append(f"{path.name}: {link}: no such file")
            elif anchor and target.suffix == ".html" and unquote(anchor) not in (
                documents[target].ids
            ):
                broken.append(f"{path.name}: {link}: no such place")
    assert broken == []


def test_ids_are_unique_and_pages_described(documents: dict[Path, Document]) -> None:
    for page in PAGES:
        document = documents[HTML / f"{page}.html"]
        twice = [name for name, count in Counter(document.ids).items() if count > 1]
        assert twice == [], f"{page}: ids that occur more than once"
        assert 20 <= len(document.description) <= 160, f"{page}: {document.description!r}"
    assert len({documents[HTML / f"{page}.html"].description for page in PAGES}) == len(PAGES)


def test_loaded_files_name_no_other_host(documents: dict[Path, Document]) -> None:
    """Outside comments, no script or style that a page loads holds an outside address."""
    loaded = {(path.parent / link.partition("?")[0]).resolve()
              for path, document in documents.items() for link in document.loads}
    found = set()
    for file in loaded:
        if file.suffix in (".js", ".css"):
            text = COMMENT.sub("", file.read_text(encoding="utf-8"))
            found |= {f"{file.name}: {text[hit.start():hit.end() + 40]}"
                      for hit in re.finditer(r"https?://", text)
                      if not NEVER_LOADED.match(text, hit.start())}
    assert found == set()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_check_is_linked(documents: dict[Path, Document], name: str) -> None:
    """Each labelled equation and each row of the claims table leads to its check."""
    text = (HTML / f"{name}.html").read_text(encoding="utf-8")
    equations = set(re.findall(r'id="equation-(eq-[\w-]+)"', text))
    assert equations == set(re.findall(r'class="checked" href="#check-(eq-[\w-]+)"', text))
    claims = re.findall(r"<td><p>([A-Z]\w?-\d\d)</p></td>", text)
    assert claims == [], "claims in the table without a link"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_download_is_the_notebook(visit: Visit, name: str) -> None:
    page = visit.open(f"{name}.html")
    link = page.locator('.article-header-buttons a[href$=".ipynb"]').first.evaluate("a => a.href")
    body = page.request.get(link).body()
    assert body == (ROOT / f"{name}.ipynb").read_bytes()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_copy_buttons(visit: Visit, name: str) -> None:
    page = visit.open(f"{name}.html")
    assert page.locator("div.cell_input button.copybtn").count() == (
        page.locator("div.cell_input pre").count())


def test_previous_and_next_walk_through_the_book(visit: Visit) -> None:
    page = visit.open(f"{PAGES[0]}.html")
    for name in PAGES[1:]:
        page.locator("a.right-next").press("Enter")  # no aiming, as a click needs
        page.wait_for_url(f"**/{name}.html")
    assert page.locator("a.right-next").count() == 0
    assert visit.trouble == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_search_finds_a_term_inside_a_folded_solution(visit: Visit, name: str) -> None:
    """Search for the longest word that stands in one solution of the page and nowhere before."""
    page = visit.open(f"{name}.html")
    words = page.evaluate(r"""() => {
      const copy = document.querySelector("article").cloneNode(true);
      copy.querySelectorAll("math, pre, script").forEach((e) => e.remove());
      const folded = [...copy.querySelectorAll("details.solution")];
      const inside = folded.map((e) => { e.remove(); return e.textContent; }).join(" ");
      const outside = new Set(copy.textContent.toLowerCase().match(/[a-z]+/g));
      return inside.match(/\b[a-z]{6,}\b/g).filter((word) => !outside.has(word));
    }""")
    term = max(words, key=len)
    assert not page.locator("details.solution[open]").count()
    page = visit.open(f"search.html?q={term}")
    result = page.locator(f'#search-results li a[href*="{name}.html"]').first
    result.wait_for()
    result.click()
    page.wait_for_url(f"**/{name}.html*")
    found = page.locator("details.solution[open] .highlighted").first
    found.wait_for()
    assert found.text_content().lower().startswith(term[:4])
    assert visit.trouble == []


def test_light_dark_and_system(visit: Visit) -> None:
    page = visit.open(f"{PAGES[0]}.html")
    seen = []
    for _ in range(3):
        page.locator(".theme-switch-button").focus()
        page.keyboard.press("Enter")
        seen.append(page.evaluate("[document.documentElement.dataset.mode,"
                                  " document.documentElement.dataset.theme]"))
    assert seen == [["dark", "dark"], ["light", "light"], ["auto", "light"]]
    page.keyboard.press("Enter")
    page = visit.open(f"{PAGES[1]}.html")  # the choice goes along
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_search_from_any_page_by_keyboard(visit: Visit) -> None:
    page = visit.open(f"{PAGES[0]}.html")
    page.keyboard.press("Control+k")
    field = page.locator("#pst-search-dialog[open] input")
    field.wait_for()
    page.keyboard.press("Escape")
    assert page.locator("#pst-search-dialog[open]").count() == 0
    page.locator(".search-button__button:visible").first.click()
    page.keyboard.type("softmax")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=softmax")
    page.locator("#search-results li").first.wait_for()
    assert visit.trouble == []


def test_contents_on_a_narrow_screen(browser: Any, address: str) -> None:
    opened = Visit(browser, address, width=390)
    page = opened.open(f"{PAGES[0]}.html")
    page.locator(".primary-toggle").click()
    page.locator("#pst-primary-sidebar-modal[open]").wait_for()
    page.keyboard.press("Escape")
    assert page.locator("#pst-primary-sidebar-modal[open]").count() == 0
    page.locator(".primary-toggle").click()
    page.locator(f'#pst-primary-sidebar-modal a[href$="{Path(PAGES[1]).name}.html"]').click()
    page.wait_for_url(f"**/{PAGES[1]}.html")
    page.locator(".secondary-toggle").click()
    page.locator("#pst-secondary-sidebar-modal[open] a").last.click()
    assert page.locator("#pst-secondary-sidebar-modal[open]").count() == 0
    page.close()
    assert opened.trouble == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_link_to_a_check_shows_its_code(visit: Visit, name: str) -> None:
    """Every link "checked" ends at a cell in sight, its code open, under the page's header."""
    page = visit.open(f"{name}.html")
    for link in page.locator("a.checked").all()[:5]:
        anchor = link.get_attribute("href")
        page.goto(f"{address_of(page)}{anchor}")
        cell = page.locator(f'[id="{anchor[1:]}"]')
        page.wait_for_timeout(50)
        box = page.evaluate("id => document.getElementById(id).getBoundingClientRect().top",
                            anchor[1:])
        assert 0 <= box < 500, f"{anchor} stands at {box}"
        assert cell.locator("details.hide:not([open])").count() == 0


def address_of(page: Any) -> str:
    return urldefrag(page.url).url


# --- the extensions, without a browser ------------------------------------------------------------

@pytest.fixture
def small_book(tmp_path: Path) -> Callable[[str], tuple[str, str]]:
    """Build a page with the book's formulas and checks; return its HTML and the warnings."""
    def build(source: str) -> tuple[str, str]:
        (tmp_path / "page.md").write_text(source, encoding="utf-8")
        (tmp_path / "conf.py").write_text(
            f"import sys\nsys.path.insert(0, {str(ROOT / '_ext')!r})\n"
            "extensions = ['myst_parser', 'mathml', 'checks']\nroot_doc = 'page'\n"
            "myst_enable_extensions = ['dollarmath', 'amsmath']\n", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "sphinx", "-q", "-b", "html", ".", "html"],
            cwd=tmp_path, capture_output=True, encoding="utf-8", check=True)
        return (tmp_path / "html" / "page.html").read_text(encoding="utf-8"), done.stderr
    return build


def test_formula_that_cannot_be_converted_is_named(small_book: Any) -> None:
    html, warnings = small_book("# Title\n\nText $a = b$ and $\\notacommand x$.\n")
    assert "page.md:3: WARNING" in warnings and r"\notacommand x" in warnings
    assert warnings.count("WARNING") == 1 and "<mi>a</mi>" in html


def test_numbers_and_references_of_equations(small_book: Any) -> None:
    html, warnings = small_book(
        "# Title with $p_i$\n\n$$ a = b \\\\ c = d $$ (eq-one)\n\n$$ \\sqrt x $$ (eq-two)\n\n"
        "By {eq}`eq-two` and {eq}`eq-one`, **S3-05** holds.\n\n| claim |\n|---|\n| S3-05 |\n")
    assert warnings == ""
    for label, number in (("eq-one", 1), ("eq-two", 2)):
        assert f'id="equation-{label}"' in html and f'<span class="eqno">({number})' in html
        assert f'href="#equation-{label}">({number})</a>' in html
    assert html.count("<mtr>") == 2, "the two lines of the first equation"
    assert '<strong id="check-S3-05">' in html and 'href="#check-S3-05">S3-05</a>' in html


# --- the interactive figures ----------------------------------------------------------------------

def stand_alone(visit: Visit, figure: InteractiveFigure) -> Any:
    """Open a figure as a notebook shows it: nothing but the cell's output."""
    visit.page.goto("about:blank")
    visit.page.set_content(f"<!doctype html><html lang=en><body>{figure._repr_html_()}")
    visit.page.wait_for_function(f"document.querySelector('{figure.tag}').built")
    return visit.page.locator(figure.tag)


def table_rows(element: Any) -> list[list[str]]:
    return element.locator("tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))")


@pytest.mark.parametrize("make", [softmax_sliders, confident_mistake])
def test_figure_shows_its_fall_back_numbers(visit: Visit, make: Any) -> None:
    """The table of the notebook, made in Python, is the table that the script makes."""
    assert table_rows(stand_alone(visit, make())) == make().rows
    assert visit.trouble == []


def test_figure_where_scripts_are_run_afterwards(visit: Visit) -> None:
    """JupyterLab puts an output in as text, and then runs a copy of each script in it."""
    visit.page.goto("about:blank")
    for make in (softmax_sliders, softmax_sliders, confident_mistake):  # one of them twice
        visit.page.evaluate("""html => {
          const host = document.body.appendChild(document.createElement("div"));
          host.innerHTML = html;
          for (const script of host.querySelectorAll("script")) {
            const copy = document.createElement("script");
            for (const { name, value } of script.attributes) copy.setAttribute(name, value);
            copy.textContent = script.textContent;
            script.replaceWith(copy);
          }
        }""", make()._repr_html_())
    visit.page.wait_for_function("document.querySelectorAll('.interactive input').length === 9")
    assert visit.trouble == []


def test_figures_on_a_page_opened_from_disk(browser: Any) -> None:
    """Without a server a browser loads no modules; the book's scripts are none."""
    page = browser.new_page()
    found = 0
    for name in PAGES:
        page.goto((HTML / f"{name}.html").as_uri())
        figures = page.locator("softmax-sliders, confident-mistake")
        found += figures.count()
        for figure in figures.all():
            assert figure.locator("input").count() > 0
    assert found
    page.close()


def test_fall_back_table_without_a_script(browser: Any) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    for make in (softmax_sliders, confident_mistake):
        page.set_content(make()._repr_html_())
        assert page.locator(f"{make().tag} td").count() == sum(len(r) - 1 for r in make().rows)
        assert page.locator(f"{make().tag} table").is_visible()
    page.context.close()


def widths(element: Any) -> np.ndarray:
    return np.array(element.locator(".bar:not(.naive)").evaluate_all(
        "bars => bars.map(bar => parseFloat(bar.style.width) / 100)"))


def test_sliders_move_bars_by_keyboard(visit: Visit) -> None:
    element = stand_alone(visit, softmax_sliders())
    before = widths(element)
    assert np.allclose(before, softmax_ref.softmax([2.5, -1, 3.2, 0.5]), rtol=1e-5)  # CSS rounds
    element.locator("input").nth(3).focus()
    for _ in range(5):
        visit.page.keyboard.press("ArrowRight")
    after = widths(element)
    assert np.allclose(after, softmax_ref.softmax([2.5, -1, 3.2, 1.0]), rtol=1e-5)
    assert after[3] > before[3] and (after[:3] < before[:3]).all()
    spoken = element.locator("input").nth(3).get_attribute("aria-valuetext")
    assert spoken == "1.00"


def test_presets(visit: Visit) -> None:
    element = stand_alone(visit, softmax_sliders())
    start = np.array([2.5, -1, 3.2, 0.5])
    before = widths(element)
    for label, expected in (("Shift all by 1", start), ("Start", start),
                            ("Temperature × 2", start / 2), ("Temperature ÷ 2", start)):
        element.get_by_role("button", name=label).press("Enter")
        assert np.allclose(widths(element), softmax_ref.softmax(expected), rtol=1e-5), label
    assert np.allclose(widths(element), before, rtol=1e-5)
    element.get_by_role("button", name="Overflow").press("Enter")
    plain = [row[-1] for row in table_rows(element)]
    with np.errstate(all="ignore"):
        expected = textbook.softmax(np.float32([89, 88, 87, 86]))
    assert np.isnan(expected[0]) and plain == ["NaN", "0.0000", "0.0000", "0.0000"]
    safe = widths(element)
    for _ in range(20):  # a shift that would leave the sliders' range is not made
        element.get_by_role("button", name="Shift all by 1").press("Enter")
    assert np.allclose(widths(element), safe, rtol=1e-5)
    assert element.locator("input").first.input_value() == "100"


def test_reader_finds_the_cliff(visit: Visit) -> None:
    element = stand_alone(visit, confident_mistake())
    note, slider = element.locator(".note"), element.locator("input")
    for dtype, last_good in ((np.float64, 709), (np.float32, 88)):
        with np.errstate(all="ignore"):
            kept, lost = (textbook.two_step_gradient(np.array([d, 0, 0.5], dtype), 1)[1]
                          for d in (last_good, last_good + 1))
        assert np.isfinite(kept) and not np.isfinite(lost)
        element.locator("select").select_option(dtype.__name__)
        slider.fill(str(last_good))
        assert "cliff" not in note.text_content()
        slider.press("ArrowRight")
        assert "cliff" in note.text_content()


def test_arithmetic_is_that_of_the_package(visit: Visit) -> None:
    """The script's numbers against `softmax_ref` on a grid.

    Bounds in units of the last place: exp is good to one unit on either side, K - 1 additions, the
    subtraction of the maximum (exact differences here: the scores are multiples of 1/8) and a
    division add half a unit each; 8 covers two sides of that. The plain float32 formula may differ
    by the same, and must agree on what is NaN or infinite.
    """
    page = visit.open(f"{PAGES[0]}.html")
    shared = b64encode((interactive.STATIC / "interactive-figure.js").read_bytes()).decode()
    levels = [-5.0, -0.125, 0.0, 2.5, 88.0, 89.0]
    z = np.array([[a, b, c] for a in levels for b in levels for c in levels])
    call = ("async ([name, rows, ...rest]) => { const m = await "
            f"import('data:text/javascript;base64,{shared}');"
            " const value = rows.map((row) => m[name](row, ...rest));"
            " const text = (x) => x instanceof Array ? x.map(text)"
            " : typeof x === 'object' ? Object.values(x).map(text) : String(x);"
            " return value.map(text); }")

    def script(name: str, rows: np.ndarray, *rest: Any) -> np.ndarray:
        return np.array(page.evaluate(call, [name, rows.tolist(), *rest])).astype(float)

    p = softmax_ref.softmax(z)
    np.testing.assert_array_almost_equal_nulp(script("softmax", z), p, nulp=8)
    for j in range(3):
        np.testing.assert_allclose(script("jacobianColumn", p, j),
                                   softmax_ref.softmax_jacobian(z)[..., j], rtol=0, atol=2**-51)
    y = np.ones(len(z), dtype=int)
    with np.errstate(all="ignore"):
        plain = textbook.softmax(z.astype(np.float32))
        np.testing.assert_allclose(script("naiveSoftmax32", z), plain, rtol=8 * 2**-23)
        mistakes = np.array([[d, 0, 0.5] for d in range(801)])
        for dtype, unit in ((np.float64, 2**-52), (np.float32, 2**-23)):
            for scores in (z, mistakes):
                y = np.ones(len(scores), dtype=int)
                given = scores.astype(dtype)
                columns = script("lossAndGradients", scores, 1, dtype is np.float32).T
                expected = (
                    softmax_ref.cross_entropy(given, y, reduction="none"),
                    textbook.cross_entropy_two_step(given, y),
                    softmax_ref.cross_entropy_grad(given, y, reduction="none")[:, 1],
                    textbook.two_step_gradient(given, y)[:, 1],
                )
                for column, reference in zip(columns, expected, strict=True):
                    # The gradient p - 1 is good to one unit of 1, not of itself; where p is
                    # subnormal, it has fewer digits than its type, hence only NaN and infinity.
                    np.testing.assert_allclose(column, reference, rtol=8 * unit, atol=8 * unit)
    assert visit.trouble == []
