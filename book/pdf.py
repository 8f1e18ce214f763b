"""The whole book as one PDF, printed by Chromium. `make pdf` calls this."""

import argparse
import shutil
import sys
from pathlib import Path

from build import build, render
from execute import PROFILES, ROOT, BuildError

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
READY = """async () => {
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


def print_to(page: Path, target: Path) -> None:
    """Print an HTML file, A4, with an outline and tags for screen readers."""
    from playwright.sync_api import sync_playwright  # of the extra dev: needed for no other page of the book

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser(), args=FLAGS)
        tab = started.new_page()
        tab.set_default_timeout(60_000 * MINUTES)
        tab.goto(page.as_uri(), wait_until="load")
        tab.emulate_media(media="print", color_scheme="light")
        tab.add_style_tag(content=PAPER)
        tab.evaluate(READY)
        look = {"format": "A4", "margin": MARGIN, "scale": SCALE, "print_background": True}
        foot = {"display_header_footer": True, "header_template": "<span></span>", "footer_template": FOOT}
        tab.pdf(path=target, outline=True, tagged=True, **look, **foot)
        started.close()


def main() -> int:
    """The command line; 0 when all went well, 1 with a line that says what did not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="quick", help=f"one of {', '.join(PROFILES)}")
    profile = parser.parse_args().profile
    try:
        browser()
        build(profile)
        target = ROOT / "build" / f"eecore-book-{profile}.pdf"
        print("Printing ...", flush=True)
        print_to(one_page(profile), target)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The PDF is {target}, {target.stat().st_size / 2**20:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
