"""The threshold explorer as a part of a page: native form elements, a drawing, two tables, and their numbers."""

import html
import json
from collections.abc import Callable, Iterable, Sequence

from companion.pages.explorer import explored
from companion.pages.parts import web
from eecore.training import Result

__all__ = ["explorer"]

LIVE = """\
<div class="ex-live" hidden>
<div class="ex-choices">
<label>Data <select class="ex-dataset"></select></label>
<label>Model <select class="ex-model"></select></label>
<label>Exit rule <select class="ex-rule" data-optional="yes"></select></label>
<label>Regime <select class="ex-regime"></select></label>
</div>
<fieldset><legend>Move</legend>
<label><input type="radio" class="ex-mode" name="{id}-mode" value="threshold" checked> the threshold</label>
<label><input type="radio" class="ex-mode" name="{id}-mode" value="budget"> the budget</label>
</fieldset>
<div class="ex-move"><label class="ex-named" for="{id}-slider">Threshold</label>
<input type="range" class="ex-slider" id="{id}-slider" min="0" max="1" step="1">
<output class="ex-value" for="{id}-slider"></output></div>
<svg class="ex-chart" role="img" viewBox="0 0 420 280" aria-label=""></svg>
<p class="ex-said" id="{id}-said" role="status" aria-live="polite"></p>
<div class="ex-wide" tabindex="0" role="region" aria-label="All regimes at the slider's place"><table>
<thead><tr><th scope="col">Regime</th><th scope="col">Accuracy</th><th scope="col">Mean cost</th>
<th scope="col">MACs per sample</th><th scope="col" class="ex-column">Threshold</th></tr></thead>
<tbody class="ex-rows"></tbody></table></div>
<div class="ex-wide" tabindex="0" role="region" aria-label="Who leaves where, chosen regime"><table>
<thead><tr><th scope="col">Exit</th><th scope="col">Leave here</th>
<th scope="col" class="ex-bars">Share, and samples</th></tr></thead>
<tbody class="ex-exits"></tbody></table></div>
<p class="ex-whose"></p>
</div>"""


def explorer(results: Iterable[Result], rules: Sequence[str] = ("confidence",)) -> Callable[[str, str, str], str]:
    """A threshold explorer of runs, for `Page.place`: it needs no other file and asks no other host.

    Args:
        results, rules: as in `companion.pages.explorer.explored`.
    Returns:
        A function of anchor, label and caption that gives HTML.
    Raises:
        SettingError: as in `explored`.
    """
    content = explored(results, rules)

    def made(anchor: str, label: str, caption: str) -> str:
        left_out = "; ".join(content["left_out"])
        more = f" Left out, to keep the page small: {left_out}." if left_out else ""
        return _page(json.dumps(content, separators=(",", ":")), anchor, label, caption + more)

    return made


def _page(content: str, anchor: str, label: str, caption: str) -> str:
    made = content.replace("<", "\\u003c")  # no text of it may end the script
    known = html.escape(anchor, quote=True)
    parts = [
        f'<figure class="eecore-explorer" id="{known}"><style>{web("explorer.css")}</style>',
        LIVE.format(id=known),
        "<noscript><p>This drawing needs JavaScript. The page on accuracy against cost has its curves.</p></noscript>",
        f"<figcaption><strong>{label}.</strong> {html.escape(caption)}</figcaption>",
        f'<script type="application/json" class="ex-data">{made}</script>',
        f"<script>{web('explorer.js')}eecoreExplorer({json.dumps(anchor)});</script></figure>",
    ]
    return "\n".join(parts)
