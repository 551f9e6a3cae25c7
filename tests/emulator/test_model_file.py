"""The emulator's file: what goes in comes out, and what is no such file is refused."""

from __future__ import annotations

import os
import shutil

import h5py
import numpy as np
import pytest

from helpers.resealed import changed

torch = pytest.importorskip("torch")

from pysoftcorr.emulator import Emulator  # noqa: E402
from pysoftcorr.emulator.domain import Bounds  # noqa: E402
from pysoftcorr.emulator.model_file import FORMAT, shipped_model  # noqa: E402
from pysoftcorr.emulator.network import new_network  # noqa: E402

EDGES = np.geomspace(0.2, 10, 5)
SMALL = {"members": 2, "width": 8, "depth": 2, "variance_width": 8}
POINT = [0.7, 0.2, 12.0, 0.26, 12.0, 13.0, 1.0]


@pytest.fixture(scope="module")
def emulator():
    return Emulator.untrained("response", bins=EDGES, seed=3, **SMALL)


@pytest.fixture(scope="module")
def written(emulator, tmp_path_factory):
    return emulator.write(tmp_path_factory.mktemp("model") / "emulator.h5")


@pytest.fixture
def copy(written, tmp_path):
    return shutil.copy(written, tmp_path / "copy.h5")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["response", "published"])
def test_round_trip(kind, tmp_path):
    made = Emulator.untrained(kind, bins=EDGES, seed=3, logMmin=(11.5, 13))
    made.description["training"] = {"epochs": 3, "loss": [1.0, 0.5], "note": "x" * 100_000}
    path = made.write(tmp_path / "m.h5")
    again = Emulator.read(path)
    assert (again.kind, again.description) == (kind, made.description)
    assert again.network.config == made.network.config
    assert again.bounds == made.bounds
    assert again.bounds["logMmin"] == (11.5, 13.0)
    np.testing.assert_array_equal(again.edges, EDGES)
    a, b = (e.predict(POINT, passes=5) for e in (made, again))
    for name in ("xi", "omega", "eta"):
        for error in ("mean", "aleatoric", "epistemic"):
            np.testing.assert_array_equal(
                getattr(getattr(a, name), error), getattr(getattr(b, name), error)
            )
    assert a.to_dict() == b.to_dict()
    assert "11.5 to 13" in repr(again)


def test_double_precision_is_written_as_single(emulator, tmp_path):
    path = Emulator.read(emulator.write(tmp_path / "a.h5")).double().write(tmp_path / "b.h5")
    with h5py.File(path) as file:
        assert file["weights/trunk.weights.0"].dtype == np.float32
    np.testing.assert_array_equal(
        Emulator.read(path).predict(POINT).eta.mean, emulator.predict(POINT).eta.mean
    )


def test_the_network_is_a_copy():
    network = new_network("response", {"bins": 4, **SMALL}, seed=1)
    made = Emulator(network, bins=EDGES, bounds=Bounds.design((11.0, 13.2)))
    assert network.training
    assert all(p.requires_grad for p in network.parameters())
    before = made.predict(POINT).omega.mean
    with torch.no_grad():
        network.trunk.weights[0].zero_()
    np.testing.assert_array_equal(made.predict(POINT).omega.mean, before)


@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.99])
def test_truncated(written, tmp_path, part):
    data = written.read_bytes()
    path = tmp_path / "short.h5"
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(ValueError, match=r"short.h5 (is damaged|holds no emulator)"):
        Emulator.read(path)


def test_a_changed_byte_is_found(copy):
    with h5py.File(copy) as file:
        place = file["weights/trunk.weights.1"].id.get_offset()
    with open(copy, "r+b") as stream:
        stream.seek(place + 11)
        byte = stream.read(1)
        stream.seek(place + 11)
        stream.write(bytes([byte[0] ^ 4]))
    with pytest.raises(ValueError, match=r"is damaged: dataset weights/trunk.weights.1: the check"):
        Emulator.read(copy)


def change_attribute(name, value):
    def change(file):
        file.attrs[name] = value

    return change


def set_weight(name, value):
    def change(file):
        del file[f"weights/{name}"]
        if value is not None:
            file[f"weights/{name}"] = value

    return change


def spoil(file):
    file["weights/trunk.weights.0"][0, 0, :2] = np.nan, np.inf


def reset(name, value):
    def change(file):
        del file[name]
        file[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (change_attribute("format", "pysoftcorr campaign"), "holds no emulator written by"),
        (change_attribute("format_version", FORMAT.version + 1), "newer .* upgrade pysoftcorr"),
        (change_attribute("format_version", "x"), "is damaged"),
        (change_attribute("kind", "cnn"), "is damaged: kind = 'cnn'"),
        (change_attribute("config", '{"layers": 3}'), "is damaged"),
        (change_attribute("config", '{"width": 100000}'), "is damaged: width = 100000"),
        (change_attribute("config", "[1"), "is damaged"),
        (change_attribute("parameters", '["mu_cen"]'), "its parameters are mu_cen; this"),
        (set_weight("trunk.weights.0", None), "lacks the weights trunk.weights.0"),
        (set_weight("trunk.weights.0", np.zeros((2, 4, 8))), r"has the shape \(2, 4, 8\), and"),
        (set_weight("scaling.target_std", np.zeros(3)), r"scaling.target_std has the shape \(3,\)"),
        (lambda file: file.create_dataset("weights/extra", data=1.0), "beside .* weights extra"),
        (spoil, "2 of 80 numbers of trunk.weights.0 are not finite"),
        (lambda file: file.pop("weights"), "is damaged"),
        (lambda file: file.pop("bounds/low"), "is damaged"),
        (reset("bounds/box", np.zeros((6, 2))), "is damaged: bounds of shapes"),
        (reset("edges", EDGES[::-1]), "is damaged: edges of bins that do not rise"),
        (reset("edges", np.arange(7.0)), "is damaged: 7 edges for 4 bins"),
    ],
)  # fmt: skip
def test_damaged(copy, change, text):
    with changed(copy) as file:
        change(file)
    with pytest.raises(ValueError, match=text) as caught:
        Emulator.read(copy)
    assert "copy.h5" in str(caught.value)


def test_foreign(tmp_path):
    text = tmp_path / "notes.h5"
    text.write_text("not a model")
    with pytest.raises(ValueError, match="it is no HDF5 file"):
        Emulator.read(text)
    torch.save({"a": 1}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="it is no HDF5 file"):
        Emulator.read(tmp_path / "model.pt")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="holds no emulator written by pysoftcorr"):
        Emulator.read(tmp_path / "other.h5")
    with pytest.raises(ValueError, match="is a folder"):
        Emulator.read(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such emulator"):
        Emulator.read(tmp_path / "none.h5")


def test_written_whole_or_not_at_all(emulator, tmp_path):
    path = emulator.write(tmp_path / "m.h5")
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        emulator.write(path)
    bad = Emulator.read(path)
    bad.description["object"] = object()  # found when half of the file is written
    with pytest.raises(TypeError):
        bad.write(path, overwrite=True)
    bad = Emulator.read(path)
    bad.network.trunk.biases[0][0] = float("nan")
    with pytest.raises(ValueError, match=r"8 of 16 numbers of trunk.biases.0 are not finite"):
        bad.write(path, overwrite=True)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.h5"]
    with pytest.raises(ValueError, match=r"use .h5 or .hdf5"):
        emulator.write(tmp_path / "m.pt")
    with pytest.raises(FileNotFoundError):
        emulator.write(tmp_path / "none" / "m.h5")


def test_bins_fit_the_network():
    network = new_network("response", {"bins": 3, **SMALL}, seed=1)
    with pytest.raises(ValueError, match="bins are 4; the network was made for 3"):
        Emulator(network, bins=EDGES, bounds=Bounds.design((11.0, 13.2)))


def test_shipped_model():
    try:
        path = shipped_model()
    except FileNotFoundError:
        with pytest.raises(FileNotFoundError, match=r"has no trained emulator .* give the path"):
            Emulator.read()
        pytest.skip("the trained model is not there yet")
    assert path.stat().st_size < 16e6
    said = Emulator.read().predict(POINT)
    assert said.xi.mean.shape == (20,)
    assert (np.diff(said.xi.mean) < 0).all()
    assert (said.omega.mean > 0).all()


def test_import_is_light(fresh):
    fresh(
        """
        import sys
        import pysoftcorr.emulator
        assert not {"torch", "h5py", "scipy"} & set(sys.modules)
        """
    )


def test_missing_torch_is_said(fresh):
    done = fresh(
        """
        import sys
        sys.modules["torch"] = None
        from pysoftcorr.emulator import Emulator
        """,
        ok=False,
    )
    assert "needs torch; install it with: pip install 'pysoftcorr[torch]'" in done.stderr
