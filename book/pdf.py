"""The whole book as one PDF, printed by Chromium. `make pdf` calls this."""

import shutil
import sys
from pathlib import Path

from build import build, render
from companion.provenance import commit
from eecore import __version__
from execute import ROOT, BuildError, hand_over

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
MARGIN = {"top": "16mm", "bottom": "16mm", "left": "18mm", "right": "18mm"}
SCALE = 0.7  # of the size on the screen
MINUTES = 10  # to lay out some hundred pages of formulas and drawings
FOOT = (
    '<div style="font-size:7pt;width:100%;text-align:center;color:#555"><span class="pageNumber"></span> / '
    '<span class="totalPages"></span></div>'
)
PAPER = """
[id^="document-"] { display: block; break-before: page; }
figure, table, .eecore-provenance, mjx-container { break-inside: avoid; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
details.hide, button, .headerlink, .explorer input, .explorer button { display: none !important; }
"""
COVER = """<div style="height: 230mm; display: grid; align-content: center; text-align: center">
<p style="font-size: 3rem; margin: 0">Joint or Disjoint?</p>
<p style="font-size: 1.5rem">Training early-exit networks, executed</p>
<p style="margin-top: 4rem">eecore {version}, commit {commit}, profile {profile}</p></div>"""
READY = """async cover => {
  document.body.insertAdjacentHTML("afterbegin", cover);
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  for (const solution of document.querySelectorAll("details:not(.hide)")) solution.open = true;
}"""


def browser() -> str:
    """Path of a Chromium.

    Raises:
        BuildError: there is none.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise BuildError("pdf: needs Chromium to print: install it (Debian: apt install chromium)")
    return found


def one_page(profile: str) -> Path:
    """The built book as a single HTML file; it is in the folder from which its links are counted."""
    folder = ROOT / "build" / profile
    made = render(folder / "source", folder, builder="singlehtml").parent
    whole = made / "book.html"
    shutil.copyfile(made / "pages" / "home.html", whole)
    return whole


def print_to(page: Path, target: Path, profile: str) -> None:
    """Print an HTML file behind a cover, A4, with an outline and tags for screen readers."""
    from playwright.sync_api import sync_playwright  # of the extra dev: needed for no other page of the book

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser(), args=FLAGS)
        tab = started.new_page()
        tab.set_default_timeout(60_000 * MINUTES)
        tab.goto(page.as_uri(), wait_until="load")
        tab.emulate_media(media="print", color_scheme="light")
        tab.add_style_tag(content=PAPER)
        tab.evaluate(READY, COVER.format(version=__version__, commit=commit(), profile=profile))
        look = {"format": "A4", "margin": MARGIN, "scale": SCALE, "print_background": True}
        foot = {"display_header_footer": True, "header_template": "<span></span>", "footer_template": FOOT}
        tab.pdf(path=target, outline=True, tagged=True, **look, **foot)
        started.close()


def pdf(profile: str) -> Path:
    """Build the book where it is not up to date, and print it."""
    browser()
    build(profile)
    target = ROOT / "build" / f"eecore-book-{profile}.pdf"
    print("Printing ...", flush=True)
    print_to(one_page(profile), target, profile)
    return target


if __name__ == "__main__":
    sys.exit(hand_over(__doc__, "PDF", pdf))
