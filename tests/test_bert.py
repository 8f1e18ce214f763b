"""BERT: the hidden states of transformers itself, padding, size, training, pretrained folders; one line without it.

Axes: B batch, S tokens, D features. Tests marked `transformers` need the extra "text"; the others must hold without.
"""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from test_cli import run as command
from torch import Tensor

from eecore import models
from eecore.errors import SettingError
from eecore.models import bert
from eecore.special import FIRST, PADDING, SEPARATOR
from eecore.training import Phase, Recipe, Run, bert_weights, initial_model, pretrained, train
from eecore.training.identity import identity

VOCABULARY = 40
DATA = {"kind": "tokens", "shape": (12,), "classes": 5, "vocabulary": VOCABULARY}
FAST = Recipe(lr=2e-3, batch_size=16)
needs_transformers = pytest.mark.transformers


def build(name: str = "bert_nano", **settings: object) -> models.MultiExit:
    """A small BERT, in eval mode."""
    return models.build(name, **DATA | settings).eval()


def texts(*lengths: int, length: int = 12, seed: int = 0) -> Tensor:
    """Random pairs of texts, of so many tokens together, ended and padded."""
    x = torch.full((len(lengths), length), PADDING)
    draw = torch.Generator().manual_seed(seed)
    for row, used in zip(x, lengths, strict=True):
        row[:used] = torch.randint(FIRST, VOCABULARY, (used,), generator=draw)
        row[used // 2] = row[used - 1] = SEPARATOR
    return x


def foreign(seed: int = 0, **settings: object):
    """transformers' own model of the structure of bert_nano."""
    import transformers

    torch.manual_seed(seed)
    config = transformers.BertConfig(**bert.configuration("bert_nano", VOCABULARY) | settings)
    return transformers.BertModel(config).eval()


# without transformers


@pytest.fixture
def uninstalled(monkeypatch) -> None:
    """As if transformers were not here, whether it is or not."""
    for name in ("transformers", bert.LIBRARY, bert.ATTENTION):
        monkeypatch.setitem(sys.modules, name, None)


def test_names_are_listed_and_nothing_is_imported() -> None:
    code = "import sys, eecore; from eecore import models; print(models.names()[-2:], 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['bert_nano', 'bert_base'] False"


@pytest.mark.parametrize("call", [build, lambda: models.describe("bert_base", **DATA)])
def test_without_transformers_one_line_says_what_to_install(call, uninstalled) -> None:
    with pytest.raises(
        SettingError, match=r"^transformers: cannot be imported.*pip install -c constraints.txt -e '\.\[text\]'$"
    ) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_the_list_of_models_says_so_too(capsys, monkeypatch, uninstalled) -> None:
    """What stands in square brackets is text there, not a style."""
    monkeypatch.setenv("COLUMNS", "400")
    _, out, _ = command(capsys, monkeypatch, "models", "--dataset", "synthetic_text")
    assert out.count("pip install -c constraints.txt -e '.[text]'") == len(bert.MODELS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "sequence", "shape": (1, 40), "vocabulary": 0}, "^bert_nano needs tokens, sequence came"),
        ({"vocabulary": 1}, "^vocabulary: bert_nano needs 2 different tokens or more, 1 came"),
        ({"shape": (513,)}, "^shape: bert_nano has 512 positions, texts of 513 tokens came"),
    ],
)
def test_data_that_do_not_fit_are_said_before_the_library_is_asked(settings, message) -> None:
    with pytest.raises(SettingError, match=message):
        build(**settings)


def test_segments_by_hand() -> None:
    pair = [5, 6, SEPARATOR, 7, SEPARATOR, PADDING]
    alone = [5, SEPARATOR, PADDING, PADDING, PADDING, PADDING]
    cut = [5, 6, 7, 8, 9, 10]  # a text that fills its row without an end
    assert bert.segments(torch.tensor([pair, alone, cut])).tolist() == [[0, 0, 0, 1, 1, 0], [0] * 6, [0] * 6]


def test_the_published_size() -> None:
    """Each tensor of BERT-Base counted; Devlin et al. 2019 give 110 million, transformers' own count is 109 482 240."""
    c = bert.configuration("bert_base", 30522)
    d, inner = c["hidden_size"], c["intermediate_size"]
    embeddings = (c["vocab_size"] + c["max_position_embeddings"] + c["type_vocab_size"]) * d + 2 * d
    layer = 4 * (d * d + d) + (d * inner + inner) + (inner * d + d) + 2 * 2 * d
    pooler = d * d + d
    assert embeddings + 12 * layer + pooler == 109_482_240


# with transformers


@needs_transformers
def test_the_published_size_is_that_of_the_model() -> None:
    """All but the pooler, which is no part of a backbone; the last head is a norm and one linear map."""
    found = models.describe("bert_base", kind="tokens", shape=(128,), classes=2, vocabulary=30522, exits=())
    pooler, head = 768 * 768 + 768, 2 * 768 + 2 * (768 + 1)
    assert found["parameters"] == 109_482_240 - pooler + head
    maps, scores = (
        12 * 768 * 768 * 128,
        2 * 128 * 128 * 768,
    )  # MACs of a layer: its six maps, the two products of attention
    assert found["backbone_macs"] == 12 * (maps + scores) + 2 * 768


@needs_transformers
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("seed", [0, 1])
def test_hidden_states_are_those_of_transformers(seed: int, attention: str) -> None:
    """Same weights, same pairs of texts with padding, against BertModel with its own preparation of masks."""
    reference, model = foreign(seed, attn_implementation=attention), build()
    weights = {ours: t for name, t in reference.state_dict().items() if (ours := bert_weights.renamed(name))}
    assert set(weights) == {name for name in model.state_dict() if not name.startswith("heads.")}
    model.load_state_dict(weights, strict=False)
    x = texts(3, 12, 7, 9, seed=seed)
    with torch.no_grad():
        asked = {"attention_mask": (x != PADDING).long(), "token_type_ids": bert.segments(x)}
        expected = reference(input_ids=x, output_hidden_states=True, **asked).hidden_states
        states = [model.stem(x), *model.block_outputs(x)]
    assert len(expected) == len(states) == 4
    for (there, tokens), hidden in zip(states, expected, strict=True):
        assert torch.equal(there, x != PADDING)
        torch.testing.assert_close(tokens, hidden, rtol=1e-4, atol=1e-5)
    assert bert.segments(x).any()


@needs_transformers
def test_every_way_to_run_it_gives_the_same_logits() -> None:
    model, x = build(exits=[0]), texts(3, 5, 12, 7)
    with torch.no_grad():
        logits, state = model(x), x
        for k, head in enumerate(model.heads):
            state = model.advance(state, k)
            assert torch.equal(head.classify(head.reduce(state)), logits[k])
            assert torch.equal(model.forward_to(x, k), logits[k])
        left = models.rows(model.advance(x, 0), torch.tensor([True, False, True, False]))
        torch.testing.assert_close(model.heads[1](model.advance(left, 1)), logits[1][::2], rtol=1e-4, atol=1e-5)
        longer = torch.cat([x, torch.full((4, 5), PADDING)], dim=1)
        torch.testing.assert_close(model(longer), logits, rtol=1e-4, atol=1e-5)  # padding changes nothing
        assert model(torch.full((1, 12), PADDING)).isfinite().all()


@needs_transformers
def test_all_parameters_get_a_gradient() -> None:
    model = build()
    model(texts(3, 12)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    vectors = model.stem.embeddings.word_embeddings.weight
    assert vectors[PADDING].eq(0).all()
    assert vectors.grad[PADDING].eq(0).all()


@needs_transformers
def test_weights_depend_on_the_seed_alone_and_spread_as_published() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = build(seed=3), build(seed=3, exits=()), build(seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    pairs = zip(first.backbone_parameters(), again.backbone_parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    name = "blocks.2.layer.intermediate.dense.weight"
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])
    assert first.state_dict()[name].std().item() == pytest.approx(0.1, rel=0.05)
    assert not first.state_dict()["blocks.2.layer.intermediate.dense.bias"].any()


@needs_transformers
def test_dropout_is_on_in_training_and_off_otherwise(monkeypatch) -> None:
    monkeypatch.setitem(
        bert.MODELS, "bert_nano", bert.Size(layers=3, width=32, attention_heads=2, ratio=2, dropout=0.1)
    )
    model, x = build(), texts(12, 7)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.1}


@needs_transformers
def test_the_version_of_the_library_is_part_of_a_run() -> None:
    run = Run(dataset="synthetic_text", model="bert_nano", regime="joint", epochs=1)
    assert identity(run)["libraries"] == {"transformers": importlib.metadata.version("transformers")}
    assert "libraries" not in identity(run.replace(model="text_nano"))


def run(regime: str, epochs: int = 1, **settings: object) -> Run:
    return Run(dataset="synthetic_text", model="bert_nano", regime=regime, epochs=epochs, recipe=FAST, **settings)


def backbone_of(model: models.MultiExit) -> dict[str, Tensor]:
    return {name: t for name, t in model.state_dict().items() if name.startswith(pretrained.BACKBONE)}


@needs_transformers
def test_three_regimes_train_and_disjoint_leaves_the_backbone_as_it_was() -> None:
    results = {regime: train(run(regime), progress=False) for regime in ("disjoint", "joint", "mixed")}
    alone = train(run("disjoint", phases=(Phase("backbone", 1),)), progress=False)
    start = backbone_of(initial_model(run("joint")))
    ends = {regime: backbone_of(result.model()) for regime, result in results.items()}
    phase_one = backbone_of(alone.model())
    assert all(torch.equal(t, phase_one[name]) for name, t in ends["disjoint"].items())
    for regime, state in ends.items():
        assert any(not torch.equal(t, start[name]) for name, t in state.items()), regime
        assert results[regime].frame().shape[0] > 0
    assert any(not torch.equal(t, ends["joint"][name]) for name, t in ends["mixed"].items())


@needs_transformers
def test_it_learns_what_can_be_known() -> None:
    """One token names the class in 9 texts of 10; chance is 0.25."""
    frame = train(run("joint", epochs=30), progress=False).frame()
    assert frame[frame.split == "test"].accuracy.min() > 0.7


# pretrained folders


@pytest.fixture
def folder(tmp_path) -> Path:
    foreign(7).save_pretrained(tmp_path / "given")
    return tmp_path / "given"


@needs_transformers
def test_a_folder_becomes_a_file_to_start_from(folder, tmp_path) -> None:
    import transformers

    file = tmp_path / "bert.safetensors"
    digest = bert_weights.convert(folder, file, "bert_nano")
    assert digest == pretrained.checksum(file) == bert_weights.convert(folder, tmp_path / "again", "bert_nano")
    model = build(seed=1)
    assert not pretrained.check(model, file)  # no classifier: that starts from the seed
    pretrained.load(model, file)
    x = texts(3, 12, 7)
    with torch.no_grad():
        loaded = transformers.BertModel.from_pretrained(folder).eval()
        asked = {"attention_mask": (x != PADDING).long(), "token_type_ids": bert.segments(x)}
        expected = loaded(input_ids=x, **asked).last_hidden_state
        torch.testing.assert_close(model.block_outputs(x)[-1][1], expected, rtol=1e-4, atol=1e-5)


@needs_transformers
def test_older_names_and_half_precision(folder, tmp_path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    old = {
        "bert." + n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t.half()
        for n, t in tensors.items()
    }
    old |= {"bert.embeddings.position_ids": torch.arange(512)[None], "cls.predictions.bias": torch.zeros(VOCABULARY)}
    bert_weights.convert(folder, tmp_path / "new", "bert_nano")
    safetensors.torch.save_file(old, folder / "model.safetensors")
    bert_weights.convert(folder, tmp_path / "old", "bert_nano")
    new, from_old = (safetensors.torch.load_file(tmp_path / which) for which in ("new", "old"))
    assert new.keys() == from_old.keys()
    assert all(from_old[name].dtype == torch.float32 for name in new)
    assert all(torch.equal(from_old[name], t.half().float()) for name, t in new.items())


@needs_transformers
def test_fine_tuning_on_words_of_other_data(folder, tmp_path) -> None:
    """The file of the folder's own words is refused; that with new words trains, from the folder's layers."""
    own, new = str(tmp_path / "own"), str(tmp_path / "new")
    bert_weights.convert(folder, own, "bert_nano")
    with pytest.raises(
        SettingError, match=r"word_embeddings.weight of .*own has the shape \(40, 32\), .* needs \(15, 32\)$"
    ):
        train(run("joint", pretrained=own), progress=False)
    bert_weights.convert(folder, new, "bert_nano", vocabulary=15)
    start = backbone_of(initial_model(run("mixed", pretrained=new)))
    given = safetensors.torch.load_file(folder / "model.safetensors")
    assert all(torch.equal(start[bert_weights.renamed(n)], t) for n, t in given.items() if "encoder.layer" in n)
    assert not start[bert_weights.WORDS][PADDING].any()
    assert train(run("mixed", pretrained=new), progress=False).frame().shape[0] > 0


def rewrite(folder: Path, **settings: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def without(folder: Path, part: str) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    kept = {name: t for name, t in tensors.items() if part not in name}
    safetensors.torch.save_file(kept, folder / "model.safetensors")


def changed(folder: Path, part: str, value: Tensor) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    safetensors.torch.save_file(
        {n: value if part in n else t for n, t in tensors.items()}, folder / "model.safetensors"
    )


@needs_transformers
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "config.json").unlink(), r"^folder: cannot read .*config.json: No such file"),
        (lambda f: (f / "config.json").write_text("{"), r"^folder: cannot read .*config.json: Expecting"),
        (lambda f: (f / "config.json").write_text("[]"), r"^folder: .*config.json holds no settings"),
        (lambda f: (f / "model.safetensors").unlink(), r"^folder: cannot read .*model.safetensors: No such file"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 99), r"^folder: cannot read .*model.safetensors: "),
        (lambda f: rewrite(f, model_type="roberta"), "model_type='roberta', bert_nano needs 'bert'"),
        (lambda f: rewrite(f, num_attention_heads=4), "num_attention_heads=4, bert_nano needs 2"),
        (lambda f: rewrite(f, position_embedding_type="relative_key"), "needs 'absolute'"),
        (lambda f: without(f, "layer.1.output"), r"lacks 4 tensors of bert_nano, such as blocks.1.layer.output"),
        (lambda f: without(f, "word_embeddings"), r"lacks 1 tensors of bert_nano, such as stem.embeddings.word"),
        (lambda f: changed(f, "layer.0.output.dense.bias", torch.ones(3)), r"has the shape \(3,\), .* needs \(32,\)$"),
        (
            lambda f: changed(f, "layer.0.output.dense.bias", torch.full((32,), torch.nan)),
            "values that are not finite$",
        ),
    ],
)
def test_a_folder_that_does_not_fit_is_one_line(spoil, message, folder, tmp_path) -> None:
    spoil(folder)
    with pytest.raises(SettingError, match=message) as caught:
        bert_weights.convert(folder, tmp_path / "file", "bert_nano")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "file").exists()


@needs_transformers
def test_a_wrong_name_or_vocabulary(folder, tmp_path) -> None:
    with pytest.raises(SettingError, match=r"^model: .*did you mean 'bert_nano'"):
        bert_weights.convert(folder, tmp_path / "file", "bert_nanno")
    with pytest.raises(SettingError, match=r"^vocabulary: 1 came"):
        bert_weights.convert(folder, tmp_path / "file", "bert_nano", vocabulary=1)
    with pytest.raises(SettingError, match=r"hidden_size=32, bert_base needs 768"):
        bert_weights.convert(folder, tmp_path / "file")
