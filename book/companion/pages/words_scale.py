"""Tables of text and sentences for the page on large trainings."""

import pandas as pd

from companion.pages.scale import BYTES, Images, chain_days, enough_workers
from companion.plotting import regime_style

__all__ = ["bottleneck_words", "memory_words", "needs_table", "plan_table", "plan_words", "speed_table"]


def needs_table(needs: pd.DataFrame, batch: int) -> pd.DataFrame:
    """The rows of `scale.needs` as text."""
    return pd.DataFrame(
        {
            "model": needs["model"],
            "parameters (10⁶)": [f"{n / 1e6:.1f}" for n in needs["parameters"]],
            "exits": [str(n) for n in needs["exits"]],
            "10⁹ MACs an image, first exit": [f"{n / 1e9:.3g}" for n in needs["first_macs"]],
            "10⁹ MACs an image, last exit": [f"{n / 1e9:.3g}" for n in needs["last_macs"]],
            "weights, gradients, moments (GB)": [f"{n / 1e9:.2f}" for n in needs["state_bytes"]],
            "kept for an image (MB)": [f"{n / 1e6:.0f}" for n in needs["kept_bytes"]],
            f"with a batch of {batch}, kept in 16 bits (GB)": [f"{n / 1e9:.1f}" for n in needs["batch_bytes"]],
            "seconds an image here": [f"{s:.2g}" for s in needs["seconds"]],
            "10⁹ MACs a second here": [f"{n / 1e9:.0f}" for n in needs["macs_per_second"]],
        }
    )


def speed_table(speeds: pd.DataFrame) -> pd.DataFrame:
    """What published runs reached, as text."""
    shown = speeds.assign(speed=[f"{value:.3g}" for value in speeds["speed"]], runs=speeds["runs"].astype(str))
    return shown.rename(columns={"speed": "10¹² MACs a second, median"})


def plan_table(tasks: pd.DataFrame, needs: pd.DataFrame) -> pd.DataFrame:
    """One row per model and distinct phase: hours of one seed on an accelerator, and days on a core of this machine."""
    here = needs.set_index("model")["macs_per_second"]
    first = tasks[tasks["seed"] == tasks["seed"].iloc[0]]
    rows = []
    for row in first.itertuples():
        rows.append(
            {
                "model": row.model,
                "phases": row.task,
                "waits for": row.before or "nothing",
                "of the regimes": "; ".join(regime_style(name).label for name in row.regimes.split(", ")),
                "hours, one accelerator": f"{row.hours:.1f}",
                "days, one core here": f"{row.hours * tasks.attrs['speed'] * 1e12 / here[row.model] / 24:,.0f}",
            }
        )
    return pd.DataFrame(rows)


def plan_words(tasks: pd.DataFrame) -> str:
    """What the whole grid takes, what sharing spares, and how many workers are of use."""
    lines = []
    for model, part in tasks.groupby("model", sort=False):
        total = part["hours"].sum() / 24
        without = (part["hours"] * (part["regimes"].str.count(", ") + 1)).sum() / 24
        lines.append(
            f"- **{model}**: {total:.3g} days of one accelerator for all regimes and seeds; without shared phases it "
            f"would be {without:.3g}. The longest chain takes {chain_days(part):.3g} days. "
            f"{enough_workers(part)} workers get everything done in that time; more are of no use."
        )
    return "\n".join(lines)


def memory_words(images: Images) -> str:
    """What the data take in memory, as this library holds them there, and on disk."""
    pixels = images.count * images.shape[0] * images.side**2
    size = f"{images.count:,} images of {images.side} x {images.side} pixels"
    return (
        f"{size} are {pixels * BYTES / 1e9:,.0f} GB as the 32-bit numbers in which this library holds data in memory, "
        f"and {pixels / 1e9:,.0f} GB as bytes. A folder of images that does not fit in memory is decoded once into a "
        "file of that many bytes, from which batches are read while the network is trained; the file wants a fast disk."
    )


def bottleneck_words(needs: pd.DataFrame, speed: float) -> str:
    """How many images a second an accelerator asks for, so what reading and augmenting must deliver."""
    rates = [f"{row.model} {speed * 1e12 / (row.macs_per_second * row.seconds):,.0f}" for row in needs.itertuples()]
    return (
        f"At {speed:g} · 10¹² MACs a second an accelerator takes in images a second, all exits in training: "
        f"{', '.join(rates)}. Reading, decoding and augmenting must keep up, or they decide how long it takes."
    )
