"""What a page of the book needs: checked parameters, numbered figures and tables, computed sentences, provenance."""

import base64
import contextlib
import html
import importlib
import io
import json
import re
import shlex
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure

from companion import made, plotting
from companion.parameters import check_parameters
from companion.plotting import light_svg
from eecore.errors import EecoreError
from eecore.training.result import Result


def explained(caption: str) -> str:
    """A caption that speaks of an area under the curve and not of its thresholds, with a sentence that says which.

    Example:
        >>> explained("Area (%) of every regime.")
        'Area (%) of every regime. An area is a mean over budgets, at each the best threshold on test.'
        >>> explained("Areas, thresholds chosen on test.")
        'Areas, thresholds chosen on test.'
    """
    if not re.search(r"\bareas?\b", caption, re.IGNORECASE) or "thresholds" in caption:
        return caption
    return f"{caption} An area is a mean over budgets, at each the best threshold on test."


class Page:
    """One notebook of the book.

    Args:
        name: the notebook's file name without its ending, such as "02_regimes".
        namespace: the notebook's globals().
        parameters: the notebook's own parameters, by name.
    Raises:
        SettingError: a parameter is unknown or not allowed; one line.
    """

    def __init__(self, name: str, namespace: dict[str, Any], **parameters: object) -> None:
        self.name = name
        self.parameters = check_parameters(namespace, parameters)
        self._began = time.perf_counter()
        self._number = name.split("_")[0].lstrip("0") or "0" if name[0].isdigit() else ""
        self._figures = self._tables = 0
        plotting.use_style()

    def _label(self, kind: str, count: int) -> tuple[str, str]:
        number = f"{self._number}.{count}" if self._number else str(count)
        return f"{kind} {number}", f"{kind}-{number}".lower().replace(".", "-")

    def figure(self, figure: Figure, caption: str, alt: str, data: pd.DataFrame | None = None) -> None:
        """Show `figure` as SVG with a number, a caption, a text for those who cannot see it, and how it was made.

        Args:
            figure: it is closed afterwards.
            caption: what it shows.
            alt: the same for those who cannot see it.
            data: the numbers behind it, offered as a CSV file; None: those that companion.plotting knows of.
        """
        data = plotting.numbers_behind(figure) if data is None else data
        picture = io.StringIO()
        figure.savefig(picture, format="svg", metadata={"Date": None})
        plt.close(figure)
        source = light_svg.as_data_uri(light_svg.lighter(picture.getvalue()))
        label, anchor = self._next_figure()
        caption = explained(caption)
        shown = (
            f'<figure class="eecore-figure" id="{anchor}"><img alt="{html.escape(alt, quote=True)}" src="{source}"/>'
            f"<figcaption><strong>{label}.</strong> {html.escape(caption)}</figcaption></figure>"
        )
        self._show(shown, label, anchor, data)

    def place(self, make: Callable[[str, str, str], str], caption: str, data: pd.DataFrame | None = None) -> None:
        """Show what is drawn in the page itself, numbered as a figure.

        Args:
            make: gives HTML from anchor, label and caption, such as from `companion.pages.explorer_page.explorer`.
            caption, data: as in `figure`.
        """
        label, anchor = self._next_figure()
        self._show(make(anchor, label, caption), label, anchor, data)

    def _next_figure(self) -> tuple[str, str]:
        self._figures += 1
        return self._label("Figure", self._figures)

    def _show(self, shown: str, label: str, anchor: str, frame: pd.DataFrame | None) -> None:
        """A figure and its account; its numbers travel with the notebook, the build writes them beside the page."""
        numbers = made.as_csv(frame)
        file = None if numbers is None else f"{self.name}-{anchor}.csv"
        bundle = {"text/html": shown + made.figure_details(label, self.name, frame, file), "text/plain": label}
        display(bundle, raw=True, metadata={} if file is None else {"eecore": {"file": file, "csv": numbers}})

    def table(self, frame: pd.DataFrame, caption: str, wrap: bool = False) -> None:
        """Show `frame` with a number and a caption; its cells are text already.

        Args:
            frame: the table.
            caption: below its number.
            wrap: whether long cells break lines, so that a wide table fits the page; otherwise it is scrolled.
        """
        self._tables += 1
        label, anchor = self._label("Table", self._tables)
        caption = explained(caption)
        body = frame.to_html(index=False, border=0, classes="table", na_rep="")
        body = body.replace(
            "<thead>", f"<caption><strong>{label}.</strong> {html.escape(caption)}</caption>\n<thead>", 1
        )
        classes = "eecore-table eecore-wrap" if wrap else "eecore-table"
        display(HTML(f'<div class="{classes}" id="{anchor}" tabindex="0">{body}</div>'))

    def say(self, text: str) -> None:
        """Text whose numbers and verdicts were computed; nothing where there is nothing to say."""
        if text:
            display(Markdown(text))

    def file(self, name: str, content: object, what: str) -> None:
        """Offer plain data as a JSON file; the book has it beside its first page too.

        Args:
            name: of the file, such as "ledger.json".
            content: lists, dictionaries, texts and finite numbers.
            what: the file in words, for the link.
        Raises:
            EecoreError: the content is not plain data.
        """
        try:
            text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise EecoreError(f"{self.name}: {name} cannot be written as JSON: {error}") from None
        source = f"data:application/json;base64,{base64.b64encode(text.encode()).decode()}"
        link = f'<a download="{html.escape(name)}" href="{source}">{html.escape(name)}</a>'
        shown = f'<p class="eecore-file">{html.escape(what)}: {link} ({len(text.encode()) / 1000:.0f} kB)</p>'
        display(HTML(shown))

    def command(self, *words: str) -> None:
        """Run `python -m eecore WORDS` in this process, and show it as a terminal would: the line, and what it prints.

        Raises:
            EecoreError: as the command; the command line would end with the same message.
        """
        cli = importlib.import_module("eecore.cli")  # few pages show a command
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            cli.app(list(words), standalone_mode=False)
        line = f"$ python -m eecore {shlex.join(words)}".replace(f"{Path.cwd()}/", "").replace(str(Path.home()), "~")
        plain = re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue())  # a kernel asks for colours, which HTML has not
        display(HTML(f'<pre class="eecore-command">{html.escape(f"{line}{chr(10)}{plain}")}</pre>'))

    def check(self, statement: str, holds: bool) -> None:
        """Something that must hold, whatever the data say; the page is not published if it does not.

        Raises:
            EecoreError: it does not hold.
        """
        if not holds:
            raise EecoreError(f"{self.name}: this must hold and does not: {statement}")
        display(HTML(f'<p class="eecore-check">&#10003; {html.escape(statement)}</p>'))

    def provenance(self, results: Iterable[Result] = ()) -> None:
        """How this page was made, and the command that makes it again; the build puts it under each figure, too."""
        rows = made.page_rows(self.name, self.parameters, list(results), time.perf_counter() - self._began)
        display(HTML(made.page_details(rows, made.command(self.name, self.parameters), self.name)))
