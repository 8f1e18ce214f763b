"""The smoke book in a real browser, as a reader meets it: with a mouse or a keyboard, in light and dark, on a phone."""

import pytest

from companion.pages.explorer import THRESHOLDS
from companion.pages.explorer_pictures import SHOWN
from companion.plotting import regime_style
from eecore.evidence import interval
from eecore.inference import budget_table, exit_taken, outcome, score
from eecore.training import Store, grid, sweep
from execute import ROOT, profile_parameters
from smoke_book import PAGES

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("book")]


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_and_fits(book, browser, name, width):
    """No request to another host, no failed request, no console error, formulas drawn, no sideways scrolling."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    requests, failed, errors = [], [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((book / f"{name}.html").as_uri())
    page.wait_for_function("() => !window.MathJax || !window.MathJax.startup || window.MathJax.startup.promise")
    page.wait_for_timeout(300)
    assert not [url for url in requests if not url.startswith(("file:", "data:", "blob:"))]
    assert not failed
    assert not errors
    formulas = page.locator(".math").count()
    assert page.locator(".math mjx-container").count() >= formulas
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(image => image.alt.trim() && image.naturalWidth > 0)")
    page.close()


@pytest.mark.parametrize(("words", "expected"), [("threshold", "threshold"), ("numerical rank", "05_rank")])
def test_search_finds(book, browser, words, expected):
    page = browser.new_page()
    page.goto((book / "search.html").as_uri() + f"?q={words.replace(' ', '+')}")
    page.wait_for_selector("#search-results li", timeout=10_000)
    page.wait_for_function("() => /finished|found/i.test(document.querySelector('#search-results').innerText)")
    assert page.locator("#search-results li").count() >= 2
    assert page.locator(f"#search-results li a[href*='{expected}']").count() or words == expected
    page.close()


# --- the explorer, by keyboard


@pytest.fixture(scope="module")
def results():
    """The runs of the smoke home page, as the book has trained them."""
    p = profile_parameters("smoke")["home"]
    names = ["disjoint", "joint", "mixed", "joint_long"]
    runs = grid(p["datasets"], p["models"], names, p["seeds"], p["more_seeds"], epochs=p["epochs"])
    return sweep(runs, Store(ROOT / "runs"), workers=1, progress=False)


def table(page):
    """{regime: [accuracy, mean cost, macs, (threshold)]} as the page shows it."""
    rows = page.locator(".ex-rows tr").all()
    return {row.locator("th").inner_text().strip(): [c.inner_text() for c in row.locator("td").all()] for row in rows}


def wanted(results, dataset, threshold):
    """The same by eecore.inference, from the stored logits."""
    found = {}
    for name in ("disjoint", "joint", "mixed", "joint_long"):
        runs = [run for run in results if (run.run.dataset, run.run.regime) == (dataset, name)]
        limits = threshold(runs)
        got = [outcome(r.test_logits, r.test_labels, r.macs, t) for r, t in zip(runs, limits, strict=True)]
        accuracy, macs = interval([g["accuracy"] for g in got]), sum(g["macs"] for g in got) / len(got)
        half = accuracy.high - accuracy.mean
        found[regime_style(name).label] = (accuracy.mean, half, macs / runs[0].backbone_macs, macs)
    return found


def same(shown, expected):
    assert set(shown) == set(expected)
    for regime, (accuracy, half, cost, macs) in expected.items():
        said, dear, count = shown[regime][:3]
        first, second = said.removesuffix(" %").split(" ± ")
        assert float(first) == pytest.approx(100 * accuracy, abs=0.051)
        assert float(second) == pytest.approx(100 * half, abs=0.11)
        assert float(dear.removesuffix(" %")) == pytest.approx(100 * cost, abs=0.051)
        assert int(count.replace(",", "")) == pytest.approx(macs, abs=0.51)


@pytest.fixture
def home(book, browser):
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.goto((book / "pages" / "home.html").as_uri())
    page.wait_for_selector(".ex-rows tr")
    yield page
    page.close()


def tab_to(page, part, most=400):
    """Press the tab key until a part of the explorer has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(f"document.activeElement.classList.contains('ex-{part}')"):
            return
    raise AssertionError(f"the tab key does not reach .ex-{part}")


def test_the_threshold_moves_by_keyboard_and_shows_what_inference_gives(home, results):
    tab_to(home, "slider")
    seen = set()
    for keys in ([], ["ArrowRight"], ["ArrowLeft"] * 4, ["PageDown"], ["Home"], ["End"], ["ArrowLeft"]):
        for key in keys:
            home.keyboard.press(key)
        value = home.locator(".ex-value").inner_text()
        seen.add(value)
        assert home.locator(".ex-slider").get_attribute("aria-valuetext") == value
        same(table(home), wanted(results, "synthetic", lambda runs, t=float(value): [t] * len(runs)))
        assert f"Threshold {value}, mixed: accuracy" in home.locator(".ex-said").inner_text()
    assert {"0.8", "0", "1"} <= seen
    assert len(seen) >= 6


def test_shares_and_pictures_are_those_of_exit_taken(home, results):
    tab_to(home, "dataset")
    home.keyboard.press("d")  # digits
    tab_to(home, "regime")
    home.keyboard.press("Home")  # disjoint, the first of the list
    tab_to(home, "slider")
    home.keyboard.press("Home")
    runs = [run for run in results if (run.run.dataset, run.run.regime) == ("digits", "disjoint")]
    scores = [score(run.test_logits) for run in runs]
    read = """() => [...document.querySelectorAll('.ex-exits tr')].map((row) =>
        [row.querySelector('td').textContent, [...row.querySelectorAll('img')].map((image) => image.alt)])"""
    for threshold in THRESHOLDS:
        assert float(home.locator(".ex-value").inner_text()) == threshold
        taken = [exit_taken(each, threshold) for each in scores]
        rows = home.evaluate(read)
        assert len(rows) == len(runs[0].macs)
        assert sum(len(pictures) for _, pictures in rows) == SHOWN
        for k, (shown, pictures) in enumerate(rows):
            share = sum(int((t == k).sum()) for t in taken) / sum(len(t) for t in taken)
            assert float(shown.removesuffix(" %")) == pytest.approx(100 * share, abs=0.051)
            for alt in pictures:
                *words, right = alt.split(", ")
                sample, label, answer = (int(word.split()[-1]) for word in words)
                assert int(taken[0][sample]) == k
                assert int(runs[0].test_labels[sample]) == label
                assert int(runs[0].test_logits[k, sample].argmax()) == answer
                assert right == ("right" if answer == label else "wrong")
        home.keyboard.press("ArrowRight")


def test_the_budget_moves_by_keyboard_and_shows_what_the_budget_table_gives(home, results):
    tab_to(home, "mode")
    home.keyboard.press("ArrowRight")
    assert home.locator(".ex-named").inner_text() == "Budget"
    tab_to(home, "slider")
    for key in ("ArrowRight", "PageUp", "End"):
        home.keyboard.press(key)
        budget = float(home.locator(".ex-value").inner_text().removesuffix(" %")) / 100

        def limits(runs, budget=budget):
            frames = [budget_table(r.validation_logits, r.validation_labels, r.test_logits, r.test_labels, r.macs,
                                   r.backbone_macs, budgets=[budget]) for r in runs]  # fmt: skip
            return [float(f.loc[f["choice"] == "validation", "threshold"].iloc[0]) for f in frames]

        same(table(home), wanted(results, "synthetic", limits))
        for runs_label, cells in table(home).items():
            name = {regime_style(n).label: n for n in ("disjoint", "joint", "mixed", "joint_long")}[runs_label]
            runs = [run for run in results if (run.run.dataset, run.run.regime) == ("synthetic", name)]
            assert float(cells[3]) == pytest.approx(sum(limits(runs)) / len(runs), abs=1.1e-3)
    home.keyboard.press("Home")  # 5 %: even the first exit costs more
    assert {cell for cells in table(home).values() for cell in cells} == {"–"}
    assert "even the first exit costs more" in home.locator(".ex-said").inner_text()


def test_every_control_has_a_name_that_a_screen_reader_says(home):
    tree = home.locator(".eecore-explorer").aria_snapshot()
    for control in (
        'combobox "Data"',
        'combobox "Model"',
        'combobox "Regime"',
        'radio "the threshold"',
        'slider "Threshold"',
    ):
        assert control in tree, tree
    assert 'img "Accuracy against mean cost' in tree
    assert "status" in tree


def test_the_page_of_exit_rules_offers_rules(book, browser):
    page = browser.new_page()
    page.goto((book / "pages" / "24_exit_criteria.html").as_uri())
    page.wait_for_selector(".ex-rows tr")
    before = table(page)
    assert page.locator(".ex-rule option").all_inner_texts() == ["confidence", "entropy", "margin"]
    page.locator(".ex-rule").focus()
    page.keyboard.press("e")
    assert table(page) != before
    page.close()


# --- phases, copies, contrast


def test_a_phase_explains_itself_under_the_tab_key(book, browser):
    page = browser.new_page()
    page.goto((book / "pages" / "02_regimes.html").as_uri())
    first = page.locator(".ph-phase").first
    tip = first.locator(".ph-tip")
    assert not tip.is_visible()
    first.focus()
    assert tip.is_visible()
    assert tip.inner_text().startswith("Moving: stem, blocks 1 to 3, head 3.")
    page.keyboard.press("Tab")
    assert not tip.is_visible()
    assert page.locator(".ph-phase").nth(1).locator(".ph-tip").is_visible()
    page.close()


def test_the_button_copies_the_command(book, browser):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto((book / "pages" / "00_quickstart.html").as_uri())
    account = page.locator(".eecore-made").first
    account.locator("summary").focus()
    page.keyboard.press("Enter")
    button = account.locator(".eecore-copy")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.eecore-made .eecore-copy').textContent === 'Copied'")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == account.locator("pre.eecore-again").inner_text()
    assert copied.startswith("make notebook NB=00_quickstart ARGS='-p datasets ")
    assert account.locator(".eecore-legend a").is_visible()
    context.close()


CONTRAST = """() => {
  const light = (c) => {
    const part = c.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
  };
  const parse = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const c = parse(getComputedStyle(at).backgroundColor);
      if (c.length < 4 || c[3] === 1) return c.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const bad = [];
  const walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    const seen = node.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!seen || !walk.currentNode.textContent.trim()) continue;
    if (node.closest("script, style, svg, mjx-container, option, .MathJax, .headerlink, .copybtn")) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(parse(style.color)), light(ground(node))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), big = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (a + 0.05) / (b + 0.05);
    const text = node.textContent.trim().slice(0, 40);
    if (ratio < (big ? 3 : 4.5)) bad.push(`${ratio.toFixed(2)} ${node.tagName}.${node.className} ${text}`);
  }
  return [...new Set(bad)];
}"""


def test_the_measure_of_contrast_sees_what_cannot_be_read(browser):
    page = browser.new_page()
    shades = "".join(f"<p style='color:rgb({c},{c},{c})'>grey {c}</p>" for c in (0, 118, 120))  # 118: 4.54, 120: 4.42
    page.set_content(f"<main>{shades}<div style='background:#000'><b style='color:#111'>dark</b></div></main>")
    assert [found.split(maxsplit=2)[2] for found in page.evaluate(CONTRAST)] == ["grey 120", "dark"]
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_text_is_readable(book, browser, name, scheme):
    """Contrast of all text is at least that of WCAG 2 AA, accounts of figures opened."""
    page = browser.new_page(color_scheme=scheme)
    page.goto((book / f"{name}.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert page.evaluate(CONTRAST) == []
    page.close()
