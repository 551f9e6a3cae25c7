"""Results in files: what is read is what was written, whole or not at all."""

import gzip
import json
import os
import stat
import sys

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from pysoftcorr.core import files
from pysoftcorr.core.files import check_output
from pysoftcorr.sky import formats as _formats
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.result import Correlation, CorrelationSet, read_result

SUFFIXES = (".fits", ".fits.gz", ".h5", ".hdf5", ".ecsv")


def random_correlation(rng, name="xip", bins=None):
    """Any correlation: odd numbers, missing parts, one bin or several."""
    bins = bins or rng.choice(
        [Binning.linear(0, 45, 3), Binning.log(0.1, 7, 5, "deg"), Binning.explicit([0, 1e-7])]
    )
    n = bins.nbins

    def numbers(*shape):
        values = rng.normal(size=shape) * 10.0 ** rng.integers(-100, 100, shape)
        values[rng.random(shape) < 0.2] = np.nan
        values[rng.random(shape) < 0.05] = np.inf
        values[rng.random(shape) < 0.05] = -0.0
        return values

    def resamples():
        values = np.empty((int(rng.integers(1, 6)), n), dtype=complex)
        values.real, values.imag = numbers(*values.shape), numbers(*values.shape)
        return values

    method = rng.choice(["bootstrap", "jackknife", "leave-out", "none"])
    given = {f: numbers(n) for f in ("theta", "logtheta", "value", "imag", "weight", "varshot")}
    if method != "none":
        given |= {"aleatoric": resamples(), "aleatoric_method": str(method)}
        if method == "leave-out":
            given["aleatoric_factor"] = float(rng.random())
    if rng.random() < 0.7:
        given["epistemic"] = resamples()
    return Correlation(
        name=name,
        bins=bins,
        npairs=rng.integers(0, 2**53, n),
        settings={
            "α": "é \n\t \\ ' \" # : ",
            "long": "x " * 600,
            "nested": {"list": [1, 0.1, None, True]},
            "nan": float("nan"),
            "clusters": int(rng.integers(100)),
        },
        seed=int(rng.integers(2**62)) if rng.random() < 0.5 else None,
        version="9.9.9",
        **given,
    )


@pytest.fixture
def result():
    return random_correlation(np.random.default_rng(4))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.filterwarnings("error")
def test_what_is_read_is_what_was_written(tmp_path, suffix, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path / f"result{suffix}"
    single = random_correlation(rng)
    single.write(path)
    again = Correlation.read(path)
    assert again == single
    assert again.value.dtype.isnative
    bins = Binning.linear(0, 45, 4)
    names = ("rho1", "xi+", "w-1_a", "header", "rho1_epistemic")
    several = CorrelationSet([random_correlation(rng, n, bins) for n in names], name="set")
    several.write(path, overwrite=True)
    assert CorrelationSet.read(path) == several
    assert read_result(str(path)) == several
    assert os.listdir(tmp_path) == [path.name]


def test_files_can_be_read_without_this_package(tmp_path):
    rng = np.random.default_rng(3)
    bins = Binning.linear(0, 45, 3)
    values = rng.normal(size=(5, 3)) + 1j * rng.normal(size=(5, 3))
    plain = dict.fromkeys(("theta", "logtheta", "imag", "npairs", "weight", "varshot"), np.ones(3))
    result = Correlation(name="rho1", bins=bins, value=[1, 2, 3], epistemic=values, **plain)
    for suffix in (".fits", ".h5", ".ecsv"):
        result.write(tmp_path / f"r{suffix}")
    with fits.open(tmp_path / "r.fits") as hdus:
        assert [h.name for h in hdus] == [
            *("PRIMARY", "HEADER.JSON", "RHO1", "RHO1.EPISTEMIC", "RHO1.COV_EPISTEMIC")
        ]
        np.testing.assert_array_equal(hdus["RHO1"].data["theta_hi"], bins.edges[1:])
        np.testing.assert_array_equal(hdus["RHO1.EPISTEMIC"].data["epistemic"], values)
        np.testing.assert_array_equal(hdus["RHO1.COV_EPISTEMIC"].data, result.cov_epistemic)
        assert json.loads("\n".join(hdus["HEADER.JSON"].data["json"]))["name"] == "rho1"
    with h5py.File(tmp_path / "r.h5") as root:
        np.testing.assert_array_equal(root["rho1/cov_epistemic"], result.cov_epistemic)
        np.testing.assert_array_equal(root["rho1/epistemic"], values)
    table = Table.read(tmp_path / "r.ecsv")
    np.testing.assert_array_equal(table["rho1.value"], [1, 2, 3])
    np.testing.assert_array_equal(table["rho1.cov_epistemic"], result.cov_epistemic)
    np.testing.assert_array_equal(table["rho1.epistemic_real"], values.real.T)


@pytest.mark.slow
def test_large_settings_and_many_resamples(tmp_path):
    nbins = 3
    numbers = {f: np.ones(nbins) for f in _formats.PER_BIN}
    draws = np.random.default_rng(0).normal(size=(500, nbins))
    result = Correlation(
        name="w",
        bins=Binning.linear(0, 1, 3),
        settings={"s": "y" * 200_000},
        epistemic=draws,
        **numbers,
    )
    for suffix in SUFFIXES:
        result.write(tmp_path / f"r{suffix}")
        assert Correlation.read(tmp_path / f"r{suffix}") == result


# ---------------------------------------------------------------------- whole or not at all
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interrupted_write_leaves_the_old_file_alone(tmp_path, result, monkeypatch, suffix):
    path = tmp_path / f"result{suffix}"
    result.write(path)
    before = path.read_bytes()
    kind = "fits" if "fits" in suffix else "ecsv" if "ecsv" in suffix else "hdf5"
    writer = _formats._WRITERS[kind]

    def interrupted(*arguments):
        writer(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setitem(_formats._WRITERS, kind, interrupted)
    with pytest.raises(KeyboardInterrupt):
        result.write(path, overwrite=True)
    assert path.read_bytes() == before
    with pytest.raises(KeyboardInterrupt):
        result.write(tmp_path / f"new{suffix}")
    assert os.listdir(tmp_path) == [path.name]


def test_overwriting_has_to_be_asked_for(tmp_path, result):
    path = tmp_path / "result.h5"
    result.write(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"result\.h5 is there already; pass overwrite=True"):
        result.write(path)
    assert path.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX ones")
def test_files_have_the_usual_permissions(tmp_path, result):
    plain = tmp_path / "plain"
    plain.touch()
    for suffix in SUFFIXES:
        path = tmp_path / f"r{suffix}"
        result.write(path)
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


# ---------------------------------------------------------------------- bad places and files
@pytest.mark.parametrize("name", ["result.txt", "result", "result.npz", ".fits", "a.fits.bz2"])
def test_unknown_suffixes(tmp_path, result, name):
    with pytest.raises(ValueError, match=r"unknown suffix; use \.fits, \.fits\.gz, \.h5"):
        result.write(tmp_path / name)
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match="unknown suffix"):
        read_result(tmp_path / name)


def test_places_that_cannot_be_written(tmp_path, result):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        check_output(tmp_path / "nowhere" / "r.h5")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="is not a folder"):
        check_output(tmp_path / "file" / "r.h5")
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        result.write(tmp_path / "folder.h5", overwrite=True)
    assert check_output(tmp_path / "r.h5") == tmp_path / "r.h5"
    assert not (tmp_path / "r.h5").exists()


def test_a_folder_that_refuses_new_files(tmp_path, monkeypatch):
    def refuse(path, mode="r", *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files, "open", refuse, raising=False)
    with pytest.raises(PermissionError, match=r"cannot write in .*Permission denied") as caught:
        check_output(tmp_path / "r.h5")
    assert caught.value.filename == str(tmp_path / "r.h5")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_folder_without_write_permission(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match="cannot write in"):
            check_output(tmp_path / "r.h5")
    finally:
        tmp_path.chmod(0o700)


def test_single_and_set_are_not_mixed_up(tmp_path, result):
    single, several = tmp_path / "one.fits", tmp_path / "set.fits"
    result.write(single)
    CorrelationSet([result]).write(several)
    with pytest.raises(ValueError, match=r"holds the single xip; read it with Correlation\.read"):
        CorrelationSet.read(single)
    with pytest.raises(ValueError, match=r"holds xip; read it with CorrelationSet\.read"):
        Correlation.read(several)


@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_foreign_files(tmp_path, suffix):
    path = tmp_path / f"foreign{suffix}"
    table = Table({"theta": [1.0]})
    if suffix in (".h5", ".hdf5"):
        with h5py.File(path, "w") as root:
            root["theta"] = [1.0]
    else:
        table.write(path)
    with pytest.raises(ValueError, match="holds no result written by pysoftcorr"):
        read_result(path)
    path.write_bytes(gzip.compress(b"rubbish") if suffix.endswith(".gz") else b"rubbish")
    with pytest.raises(ValueError, match="holds no result written by pysoftcorr"):
        read_result(path)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such result: .*r\.h5"):
        Correlation.read(tmp_path / "r.h5")
    with pytest.raises(ValueError, match="is a folder"):
        Correlation.read(tmp_path)


def test_damaged_and_newer_files(tmp_path, result):
    path = tmp_path / "r.h5"
    result.write(path)
    with h5py.File(path, "a") as root:
        del root["xip/theta"]
    with pytest.raises(ValueError, match=r"r\.h5 is damaged: .*theta"):
        read_result(path)
    result.write(path, overwrite=True)
    with h5py.File(path, "a") as root:
        header = json.loads(root["header.json"][()])
        header["format_version"] = _formats.FORMAT.version + 1
        del root["header.json"]
        root["header.json"] = json.dumps(header)
    with pytest.raises(ValueError, match=r"its format, 2, is newer than .* upgrade pysoftcorr"):
        read_result(path)
