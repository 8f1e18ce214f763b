"""Runs that the first version stored are found again, with the same bits."""

import hashlib
import json

import pytest
import torch

from eecore import Run, Store, train
from eecore.training.chain import is_stored
from eecore.training.identity import identity, prefix_keys
from scripts import rename_keys

RUN = Run(dataset="synthetic", model="mlp_nano", regime="mixed", epochs=1)


def aged(store: Store, source: str) -> list[str]:
    """Give all that is stored a key and an identity as the first version did; returns its keys."""
    old = {}
    for key in store.stored_keys():
        old[key] = hashlib.sha256(f"{key}{source}".encode()).hexdigest()[:20]
    for key, before in old.items():
        for path in (store.folder / key).glob("*.json"):
            tensors, record = store.get(key, path.stem)
            if "identity" in record:
                record["identity"] = {k: v for k, v in record["identity"].items() if k != "training"}
                record["identity"]["source"] = source
                record["prefix_keys"] = [old[k] for k in record["prefix_keys"]]
            store.put(before, path.stem, tensors, record)
        store.prune(key)
    return sorted(old.values())


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    train(RUN, store, progress=False)
    return store


def test_stored_runs_are_found_under_their_new_keys(store):
    before = train(RUN, store, progress=False)
    weights = before.model().state_dict()
    aged(store, next(iter(rename_keys.KNOWN)) + "f" * 52)
    assert not is_stored(RUN, store)
    assert rename_keys.rename(store) == (2, 0)
    assert store.stored_keys() == sorted(prefix_keys(RUN))
    again = train(RUN, store, progress=False)
    assert again.record["finished"] == before.record["finished"]
    assert again.record["identity"] == json.loads(json.dumps(identity(RUN)))
    assert torch.equal(again.test_logits, before.test_logits)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in again.model().state_dict().items())
    assert rename_keys.rename(store) == (0, 0)


def test_runs_of_other_sources_stay_where_they_are(store):
    old = aged(store, "0" * 64)
    assert rename_keys.rename(store) == (0, 2)
    assert store.stored_keys() == old


def test_the_prefix_of_an_objective_is_the_one_that_plain_runs_share(tmp_path):
    store = Store(tmp_path)
    run = RUN.replace(recipe={"weights": "linear"})
    train(run, store, progress=False)
    aged(store, next(iter(rename_keys.KNOWN)))
    rename_keys.rename(store)
    assert store.has(prefix_keys(RUN)[0], "weights")
    assert is_stored(run, store)
