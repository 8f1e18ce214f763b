"""Which exit dominates: summaries of the tables of eecore.analysis.gradients, one network at a time.

K exits; position (k - 1) / (K - 1) of exit k is 0 for the first and 1 for the last.
"""

import numpy as np
import pandas as pd


def fraction_negative(cosine: pd.DataFrame) -> pd.DataFrame:
    """Conflicts per block.

    Args:
        cosine: what `conflicts` returned.
    Returns:
        block, pairs (those with an angle), fraction_negative (of them), mean_cosine.
    """
    known = cosine.dropna(subset="cosine").groupby("block")["cosine"]
    measures = {"pairs": known.size(), "fraction_negative": known.agg(lambda c: (c < 0).mean())}
    return pd.DataFrame({**measures, "mean_cosine": known.mean()}).reset_index()


def dominant_exit(share: pd.DataFrame) -> pd.DataFrame:
    """The exit with the largest share in each block, and where between first and last exit the pull comes from.

    Args:
        share: what `dominance` returned.
    Returns:
        One row per block whose gradients do not all vanish: block, reaching (number of exits), exit (the dominant
        one, the earlier of equals), share (its), position (mean of (k - 1) / (K - 1) weighted by the shares; 0 is
        the first exit, 1 the last), expected (the same with equal shares of the exits that reach the block).
    """
    known = share.dropna(subset="share").reset_index(drop=True)
    known = known.assign(position=(known["exit"] - 1) / (share["exit"].max() - 1))
    groups = known.groupby("block")
    top = known.loc[groups["share"].idxmax()].set_index("block")
    position = (known["position"] * known["share"]).groupby(known["block"]).sum()
    columns = {"exit": top["exit"], "share": top["share"], "position": position, "expected": groups["position"].mean()}
    return pd.DataFrame({"reaching": groups.size(), **columns}).reset_index()


def by_exit(share: pd.DataFrame) -> pd.DataFrame:
    """Whether an exit dominates the blocks that it shares: its share there, relative to equal shares.

    Args:
        share: what `dominance` returned. Blocks that only the last exit reaches are left out: its share is 1.
    Returns:
        One row per exit that shares a block: exit, position ((k - 1) / (K - 1)), blocks (shared with another exit),
        share (mean over these), expected (mean of 1 / exits that reach the block), ratio (share / expected; above 1:
        the exit dominates), signed_share (mean). "The middle dominates" says that the ratio is largest at middle
        positions.
    """
    known = share.dropna(subset="share")
    reaching = known.groupby("block")["exit"].transform("size")
    shared = known[reaching > 1].assign(expected=1 / reaching[reaching > 1])
    groups = shared.groupby("exit")
    means = groups[["share", "expected", "signed_share"]].mean()
    position = (means.index.to_numpy() - 1) / (share["exit"].max() - 1)
    out = means.assign(position=position, blocks=groups.size(), ratio=means["share"] / means["expected"])
    return out[["position", "blocks", "share", "expected", "ratio", "signed_share"]].reset_index()


def of_backbone(share: pd.DataFrame) -> pd.DataFrame:
    """Each exit's share of the pull on the whole backbone, all blocks as one vector: another reading of "dominates".

    Args:
        share: what `dominance` returned.
    Returns:
        One row per exit: exit, position ((k - 1) / (K - 1)), norm (over all blocks that it reaches), share (of the sum
        of the exits' norms), relative (share times K; above 1: more than an equal part). Later exits reach more blocks,
        which adds to their norm.
    """
    norm = np.sqrt((share["norm"] ** 2).groupby(share["exit"]).sum())
    exits = norm.index.to_numpy()
    part = norm.to_numpy() / norm.sum() if norm.sum() else np.full(len(norm), np.nan)
    columns = {"exit": exits, "position": (exits - 1) / (exits.max() - 1), "norm": norm.to_numpy(), "share": part}
    return pd.DataFrame(columns).assign(relative=part * len(exits))


def middle_share(share: pd.DataFrame) -> dict[str, float]:
    """The test of "the middle dominates" in two numbers, each beside its expectation under equal shares.

    Args:
        share: what `dominance` returned; blocks that two exits or more reach count equally.
    Returns:
        position: mean over blocks of the share-weighted position of the exits, in [0, 1];
        middle: mean over blocks of the summed share of the exits in the middle third, 1/3 <= position <= 2/3;
        position_expected, middle_expected: the same with equal shares; position_excess, middle_excess: above that.
        With K = 2 the middle third is empty.
    """
    known = share.dropna(subset="share")
    last = int(share["exit"].max()) - 1
    steps = known["exit"] - 1
    reaching = known.groupby("block")["exit"].transform("size")
    shared = known[reaching > 1].assign(
        position=steps / last, middle=(3 * steps).between(last, 2 * last).astype(float), equal=1 / reaching
    )
    blocks = max(shared["block"].nunique(), 1)
    out = {}
    for name in ("position", "middle"):
        out[name] = float((shared[name] * shared["share"]).sum() / blocks)
        out[f"{name}_expected"] = float((shared[name] * shared["equal"]).sum() / blocks)
        out[f"{name}_excess"] = out[name] - out[f"{name}_expected"]
    return out if len(shared) else dict.fromkeys(out, float("nan"))
