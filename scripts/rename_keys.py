"""Give stored runs of the first version, whose keys were hashes of sources, the keys that they have now.

    python scripts/rename_keys.py [STORE]

What was trained by other sources than that version's, by a model or data of somebody's own, or by a library beside
torch, keeps its old key, under which nothing is looked for any more; so does a phase that was interrupted.
"""

import sys
from pathlib import Path
from typing import Any

from eecore import Store, data, models
from eecore.training.identity import TRAINING, keys_of
from eecore.training.phases import Phase

KNOWN = frozenset((Path(__file__).parent / "sources_0_1.txt").read_text().split())  # beginnings of their hashes


def renewed(record: dict[str, Any]) -> tuple[dict[str, Any], list[str]] | None:
    """Identity and prefix keys of an entry as they are now; None where it keeps its own."""
    known = dict(record.get("identity", {}))
    if known.pop("source", "")[:12] not in KNOWN or known["model"] not in models.names():
        return None
    said = record.get("said", {}).get("dataset", known["dataset"])
    if said not in data.names() and said.partition(":")[0] not in {form.partition(":")[0] for form in data.own_forms()}:
        return None
    names = Phase.__dataclass_fields__
    phases = [Phase(**{n: phase[n] for n in names if n in phase}).described() for phase in record["phases"]]
    known["training"] = TRAINING
    return known, keys_of(known, phases)


def rename(store: Store) -> tuple[int, int]:
    """How many keys were renamed, and how many were left."""
    done = left = 0
    for key in store.stored_keys():
        record = store.record(key, "logits") or store.record(key, "weights") or {}
        fresh = renewed(record)
        if fresh is None:
            left += record.get("identity", {}).get("training") != TRAINING
            continue
        identity, keys = fresh
        for path in sorted((store.folder / key).glob("*.json")):
            entry = store.get(key, path.stem)
            if entry is not None and path.stem != "partial":
                tensors, written = entry
                more = {"identity": identity, "prefix_keys": keys} if "identity" in written else {}
                store.put(keys[-1], path.stem, tensors, {**written, **more})
        store.prune(key)
        done += 1
    return done, left


def main() -> None:
    """Rename in the store that was named, else in the default one."""
    store = Store(*sys.argv[1:2])
    done, left = rename(store)
    print(f"{store.folder}: {done} renamed, {left} left as they are")


if __name__ == "__main__":
    main()
