"""A new picture, sentence or array is read by the lines that read the training data, here and beside the graphs."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import eecore
from eecore import data, export
from eecore.cli import main
from eecore.data import answering, preparation, tokens
from eecore.data.raw import SampleError, prepare
from eecore.export.write import standalone
from eecore.training import Run, Store, read_key, train

STREAM = np.random.RandomState(0)


def colours(shape):
    return STREAM.randint(0, 256, shape).astype(np.uint8)


def palette():
    image = Image.fromarray(colours((13, 17, 3))).quantize(8)
    image.info["transparency"] = 2
    return image


def turned():
    image = Image.fromarray(colours((12, 18, 3)))
    image.getexif()[0x0112] = 6
    return image


PICTURES = {
    "rgb.jpg": lambda: Image.fromarray(colours((12, 15, 3))),
    "turned.jpg": turned,
    "cmyk.jpg": lambda: Image.fromarray(colours((16, 16, 4)), mode="CMYK"),
    "rgba.png": lambda: Image.fromarray(colours((14, 11, 4))),
    "grey_alpha.png": lambda: Image.fromarray(colours((14, 11, 2))),
    "palette.png": palette,
    "deep.png": lambda: Image.fromarray(STREAM.randint(0, 65536, (9, 12)).astype(np.uint16)),
    "grey.png": lambda: Image.fromarray(colours((20, 9))),
    "two.png": lambda: Image.fromarray(colours((20, 9)) > 99),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Twenty pictures of nine kinds, forty texts and some arrays, all in two classes."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EECORE_CACHE", str(folder / "cache"))
        for i in range(20):
            name = list(PICTURES)[i % 9]
            path = folder / "pets" / ("cat", "dog")[i % 2] / f"{i}-{name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = PICTURES[name]()
            image.save(path, **({"exif": image.getexif()} if name == "turned.jpg" else {}))
        kinds = ("soup was warm and lovely", "it's cold; and awful")
        ends = [f"{a} {b}" for a in ["one", "two", "three", "four", "five"] for b in ["red", "blue", "green", "grey"]]
        rows = [f'"{kinds[i % 2]} {ends[i // 2]}",{("good", "bad")[i % 2]}' for i in range(40)]
        (folder / "texts.csv").write_text("\n".join(["text,label", *rows]) + "\n")
        np.savez(folder / "bytes.npz", x=colours((40, 6, 6, 3)), y=np.arange(40) % 2)
        np.savez(folder / "series.npz", x=STREAM.randn(40, 12).astype(np.float32) * 5 + 30, y=np.arange(40) % 2)
        yield folder


def trained(name, model, store):
    return train(Run(dataset=name, model=model, regime="joint", epochs=1), Store(store), progress=False)


@pytest.fixture(scope="module")
def results(place):
    runs = {"images": (f"images:{place / 'pets'}?size=8", "mlp_nano"), "text": (f"text:{place}/texts.csv", "text_nano")}
    runs["arrays"] = (f"arrays:{place}/bytes.npz", "mlp_nano")
    return {kind: trained(*named, place / "store") for kind, named in runs.items()}


def about(name):
    loaded = data.load(name)
    kind = "int64" if loaded.kind == "tokens" else "float32"
    return {"shape": list(loaded.shape), "dtype": kind, "preparation": loaded.preparation}


def every_row(name):
    loaded = data.load(name)
    return {row.tobytes() for part in (loaded.train, loaded.validation, loaded.test) for row in part.x.numpy()}


# --- the same bits as the training data


def test_pictures_of_every_kind_are_the_bits_that_the_network_has_learnt_from(place):
    name = f"images:{place / 'pets'}?size=8"
    known, files = every_row(name), sorted((place / "pets").glob("*/*"))
    assert len(files) == 20
    for file in files:
        assert prepare(file, about(name)).x[0].tobytes() in known, file.name
        assert prepare(Image.open(file), about(name)).x[0].tobytes() in known, file.name


def test_without_torch_and_eecore_they_are_the_same_bits_too(place):
    name = f"images:{place / 'pets'}?size=8"
    files = sorted(map(str, (place / "pets").glob("*/*")))
    (place / "alone.py").write_text(standalone("eecore.data.raw"))
    program = (
        "import json, sys, runpy; sys.modules['torch'] = sys.modules['eecore'] = None\n"
        f"prepare = runpy.run_path({str(place / 'alone.py')!r})['prepare']\n"
        "found = prepare(*map(json.loads, sys.argv[1:]))\n"
        "sys.stdout.buffer.write(found.x.tobytes())"
    )
    words = [json.dumps(files), json.dumps(about(name))]
    told = subprocess.run([sys.executable, "-I", "-c", program, *words], capture_output=True, check=True)
    assert told.stdout == prepare(files, about(name)).x.tobytes()


def test_texts_are_the_numbers_that_the_network_has_learnt_from(place):
    name = f"text:{place}/texts.csv"
    texts = [line.rpartition(",")[0].strip('"') for line in (place / "texts.csv").read_text().splitlines()[1:]]
    assert {row.tobytes() for row in prepare(texts, about(name)).x} == every_row(name)


def test_buckets_characters_and_what_is_cut():
    vocabulary = tokens.learn([list("abca")], 12, buckets=5)
    known = {"shape": [4], "dtype": "int64", "preparation": preparation.of_texts(vocabulary, 4, "characters")}
    texts = ["ab", "xyz", "cabxx"]
    rows = prepare(texts, json.loads(json.dumps(known)))
    assert torch.equal(torch.from_numpy(rows.x), tokens.encode([list(text) for text in texts], vocabulary, 4))
    assert rows.notes[0] == ""
    assert "none of its characters is known" in rows.notes[1]
    assert rows.notes[2] == "of its 5 tokens the first 3 are read"


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x,
        lambda x: x.transpose(0, 3, 1, 2),
        lambda x: x.astype(np.float32),
        lambda x: x.astype(np.int64),
        lambda x: (x / 255).astype(np.float32),
    ],
    ids=["as in the file", "channels first", "floats to 255", "integers", "floats to 1"],
)
def test_raw_arrays_in_the_forms_that_people_have(place, form):
    name = f"arrays:{place}/bytes.npz"
    x = np.load(place / "bytes.npz")["x"]
    assert {row.tobytes() for row in prepare(x, about(name)).x} == every_row(name)
    np.testing.assert_allclose(prepare(form(x), about(name)).x, prepare(x, about(name)).x, atol=2e-6)
    np.testing.assert_array_equal(prepare(form(x)[3], about(name)).x[0], prepare(form(x), about(name)).x[3])


def test_series_one_or_many_and_a_word_where_they_are_in_another_unit(place):
    name = f"arrays:{place}/series.npz"
    x = np.load(place / "series.npz")["x"]
    assert {row.tobytes() for row in prepare(x, about(name)).x} == every_row(name)
    np.testing.assert_array_equal(prepare(x[5], about(name)).x[0], prepare(x[:, None], about(name)).x[5])
    notes = prepare([x[0], 1000 * x[1]], about(name)).notes
    assert notes[0] == ""
    assert "more than 20 standard deviations" in notes[1]


# --- what cannot be read


def test_what_is_no_sample_is_one_line(place, results, tmp_path):
    (tmp_path / "no.jpg").write_text("words")
    np.save(tmp_path / "cut.npy", np.zeros(9))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:90])
    x = np.load(place / "bytes.npz")["x"].astype(np.float32)
    bad = x.copy()
    bad[7, 1, 1, 1] = np.nan
    endless = x.copy()
    endless[7, 1, 1, 1] = -np.inf
    normal = results["arrays"].model() and prepare(x, about(f"arrays:{place}/bytes.npz")).x
    for kind, sample, said in [
        ("images", tmp_path / "no.jpg", "no.jpg: cannot be opened as a picture: no image in it"),
        ("images", tmp_path / "none.jpg", "none.jpg: cannot be opened as a picture: No such file"),
        ("images", tmp_path, "cannot be opened as a picture: Is a directory"),
        ("images", "", "samples: a name is empty"),
        ("images", [], "samples: none came"),
        ("images", 7, "expected a picture"),
        ("arrays", tmp_path / "cut.npy", "cut.npy: no .npy file of numbers or texts"),
        ("arrays", bad, r"samples: sample 7 holds values that are not finite \(NaN or infinity\)"),
        ("arrays", endless, "samples: sample 7 holds values that are not finite"),
        ("arrays", normal, r"expected pixels, whole numbers 0..255 or floats 0..1, got -.* need `prepared`"),
        ("arrays", x[:0], r"expected an array \(N >= 1, 3, 6, 6\), got \(0, 6, 6, 3\)"),
        ("arrays", x[:, :5], r"expected an array \(N >= 1, 3, 6, 6\), got"),
        ("arrays", x > 9, "expected numbers, got bool"),
        ("arrays", x.astype(complex), "expected numbers, got complex"),
        ("arrays", x.astype(str), "expected numbers, got <U"),
        ("text", "", "the text '' is empty; expected words"),
        ("text", " \n", "is empty; expected words"),
        ("text", ["fine", ""], "is empty; expected words"),
        ("text", np.zeros((2, 5), dtype=np.int64), "rows of token numbers need `prepared`"),
        ("text", tmp_path / "none.txt", "none.txt: its text cannot be read: No such file"),
    ]:
        with pytest.raises(eecore.DataError, match=said) as caught:
            eecore.predict(results[kind], sample)
        assert "\n" not in str(caught.value)
    wide = np.full((1, *data.load(results["text"].run.dataset).shape), 10**6)
    with pytest.raises(eecore.DataError, match=r"expected token numbers 0\.\."):
        eecore.predict(results["text"], wide, prepared=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_refused(results, value):
    x = data.load(results["arrays"].run.dataset).test.x[:3].numpy().copy()
    x[1, 0, 2, 2] = value
    with pytest.raises(eecore.DataError, match="sample 1 holds values that are not finite"):
        eecore.predict(results["arrays"], x, prepared=True)


# --- answers


def test_a_run_answers_with_names(place, results):
    found = eecore.predict(results["images"], sorted((place / "pets").glob("*/*")), threshold=0.6)
    assert results["images"].labels == ("cat", "dog")
    assert {one.label for one in found} <= {"cat", "dog"}
    assert all(one.label == ("cat", "dog")[one.number] and 0.5 <= one.confidence <= 1 for one in found)
    test = data.load(results["images"].run.dataset).test.x
    left = eecore.predict(results["images"], test.numpy(), threshold=1, prepared=True)
    assert [one.number for one in left] == results["images"].test_logits[-1].argmax(1).tolist()
    assert {one.exit for one in left} == {5}
    answer = eecore.predict(results["text"], "zzz qqq")[0]
    assert answer.sample == "zzz qqq"
    assert "none of its words is known" in answer.note
    with pytest.raises(eecore.SettingError, match="did you mean 'patience'"):
        eecore.predict(results["text"], "soup", rule="patienc")


@pytest.mark.onnx
@pytest.mark.parametrize("kind", ["images", "text"])
def test_the_exported_folder_answers_as_the_run_does(place, results, kind, tmp_path, monkeypatch, capsys):
    result = results[kind]
    store = ["--store", str(result.store.folder)]
    out = tmp_path / "out"
    samples = sorted(map(str, (place / "pets").glob("*/*")))[:12] if kind == "images" else ["lovely soup", "zzz, qqq"]

    def said(*words):
        monkeypatch.setattr(sys, "argv", ["eecore", *words])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        assert end.value.code == 0, told.err
        return told

    told = said("export", "--key", result.key[:8], "--to", str(out), *store).out
    assert ("photo.jpg" if kind == "images" else "a sentence") in told
    by_run = said("predict", "--run", result.key[:8], *samples, *store)
    by_folder = said("predict", "--export", str(out), *samples)
    program = (
        "import runpy, sys; sys.modules['torch'] = sys.modules['eecore'] = None; sys.argv = ['run.py', *sys.argv[1:]]; "
        f"runpy.run_path({str(out / 'run.py')!r}, run_name='__main__')"
    )
    alone = subprocess.run([sys.executable, "-I", "-c", program, *samples], capture_output=True, text=True, check=True)
    assert alone.stdout == by_folder.out
    assert alone.stderr == by_folder.err
    assert [line.rsplit(",", 1)[0] for line in alone.stdout.splitlines()] == [
        line.rsplit(",", 1)[0] for line in by_run.out.splitlines()
    ]
    if kind == "text":
        assert 'note: "zzz, qqq": none of its words is known to the network' in alone.stderr
        file = out / "vocabulary.json"
        file.write_text(file.read_text().replace("soup", "soap"))
        with pytest.raises(eecore.SettingError, match=r"vocabulary.json is damaged: its checksum does not fit"):
            export.load(out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "x.jpg"], "run, export: one of them says which network answers; give one"),
        (["predict", "x.jpg", "--run", "a", "--export", "b"], "run, export: one of them"),
        (["predict", "x.jpg", "--run", "zzz"], "key: 'zzz' fits 0 stored runs"),
    ],
)
def test_wrong_words_are_one_line(words, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["eecore", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    err = capsys.readouterr().err
    assert err.startswith(f"eecore: {said}")
    assert err.count("\n") == 1


# --- a run by its key


def test_a_run_is_read_by_its_key_alone(place, results):
    for result in results.values():
        again = read_key(result.store, result.key[:10])
        assert again.run.dataset == result.run.dataset
        assert again.run.regime == "joint"
        assert again.run.phases == result.run.phases
        assert torch.equal(again.test_logits, result.test_logits)
        state = result.model().state_dict()
        assert all(torch.equal(state[name], tensor) for name, tensor in again.model().state_dict().items())


def test_data_that_are_others_or_have_moved_are_said(place, results):
    result = results["arrays"]
    with pytest.raises(eecore.SettingError, match="holds other data than those that"):
        read_key(result.store, result.key, f"arrays:{place}/series.npz")
    tensors, record = result.store.get(result.key, "logits")
    record["said"]["dataset"] = f"arrays:{place}/gone.npz"
    result.store.put("moved", "logits", tensors, record)
    with pytest.raises(eecore.DataError, match="say with `dataset` where they are now"):
        read_key(result.store, "moved")
    assert read_key(result.store, "moved", f"arrays:{place}/bytes.npz").labels == ("0", "1")
    del record["said"]
    result.store.put("older", "logits", tensors, record)
    with pytest.raises(eecore.SettingError, match="was trained on data of your own called 'bytes'; say where they are"):
        read_key(result.store, "older")


def test_a_part_of_a_run_is_no_result(tmp_path):
    run = Run(dataset="synthetic", model="mlp_nano", regime="mixed", epochs=1)
    result = train(run, Store(tmp_path), progress=False)
    with pytest.raises(eecore.SettingError, match="holds no result, it is a part of a run"):
        read_key(result.store, result.record["prefix_keys"][0])


def test_words_of_the_command_line_that_are_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "review.txt").write_text("good soup")
    assert [type(one) is str for one in answering.spoken(["review.txt", "good soup"], "text")] == [False, True]
    with pytest.raises(SampleError, match=r"reviw\.txt: there is no such file"):
        answering.spoken(["reviw.txt"], "text")
