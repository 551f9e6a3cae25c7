"""The style sheets: colors, what they set and what they leave, sizes, figures in files."""

from __future__ import annotations

import zlib

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import to_rgb

from pysoftcorr import plots
from pysoftcorr.plots.styles import PALETTE
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.result import Correlation, CorrelationSet

#: How colors look to those who lack one kind of cone (Machado, Oliveira & Fernandes 2009, severity
#: 1), on linear RGB.
CONES = {
    "all": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


@pytest.fixture(autouse=True)
def _default():
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.use("Agg")
        yield
    plt.close("all")


def correlation(name="xip"):
    bins = Binning.log(1, 100, 6)
    value, n = 1e-4 / bins.centers, bins.nbins
    return Correlation(
        name=name, bins=bins, theta=bins.centers, logtheta=np.log(bins.centers), value=value,
        imag=0 * value, npairs=np.ones(n), weight=np.ones(n), varshot=1e-3 * value**2,
    )  # fmt: skip


def five():
    return plots.plot_correlation_set(CorrelationSet([correlation(f"rho{k}") for k in range(1, 6)]))


def lab(rgb):
    """CIE L*a*b* of linear RGB, for D65."""
    xyz = np.clip(rgb, 0, 1) @ np.transpose(TO_XYZ) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colors, sight):
    linear = np.array([to_rgb(color) for color in colors])
    linear = np.where(linear > 0.04045, ((linear + 0.055) / 1.055) ** 2.4, linear / 12.92)
    seen = [lab(row) for row in linear @ np.transpose(CONES[sight])]
    return min(np.linalg.norm(a - b) for k, a in enumerate(seen) for b in seen[:k])


@pytest.mark.parametrize("sight", CONES)
def test_colors_stay_apart_for_every_kind_of_sight(sight):
    assert len(set(PALETTE)) == len(PALETTE) >= 6
    assert nearest(PALETTE, sight) > 11  # 2.3 is a difference that is just seen
    # matplotlib's own colors would fail.
    assert sight not in ("protan", "deutan") or nearest(["C2", "C1", "C3", "C5"], sight) < 11


def test_every_public_figure_is_styled():
    for name in plots.__all__:
        assert name == "save_figure" or hasattr(getattr(plots, name), "__wrapped__"), name


def test_the_sheet_holds_within_the_figure_and_changes_nothing_outside():
    before = dict(mpl.rcParams)
    ax = correlation().plot()
    assert dict(mpl.rcParams) == before
    ax.figure.canvas.draw()
    tick = ax.xaxis.get_major_ticks()[0]
    assert tick.get_tickdir() == "in"
    assert tick.label1.get_size() == 9
    assert not ax.get_legend().get_frame_on()


def test_what_the_reader_set_stays():
    mpl.rcParams.update({"xtick.direction": "inout", "legend.frameon": True, "font.size": 13.0})
    mpl.rcParams["legend.frameon"] = True  # matplotlib's own value: the sheet's holds
    ax = correlation().plot()
    ax.figure.canvas.draw()
    assert ax.xaxis.get_major_ticks()[0].get_tickdir() == "inout"
    assert ax.yaxis.get_major_ticks()[0].get_tickdir() == "in"
    assert ax.xaxis.label.get_size() == 13.0


def test_axes_of_the_reader_keep_their_ticks():
    _, ax = plt.subplots()
    ax.tick_params(direction="out")
    correlation().plot(ax=ax)
    ax.figure.canvas.draw()
    assert ax.xaxis.get_major_ticks()[0].get_tickdir() == "out"


def test_sheets_are_found_by_name_and_set_the_width():
    wide = five().get_size_inches()
    assert wide[0] > 7.1
    with plt.style.context("pysoftcorr.plots.paper"):
        narrow = five()
        assert narrow.get_size_inches()[0] == pytest.approx(7.1)
        assert narrow.axes[0].xaxis.label.get_size() == 8
        assert correlation().plot().figure.get_size_inches()[0] == pytest.approx(5.6)
        assert correlation().plot(style="paper").figure.get_size_inches()[0] == 3.4
    with plt.style.context("pysoftcorr.plots.talk"):
        assert five().axes[0].xaxis.label.get_size() == 14
    with plt.style.context("pysoftcorr.plots.pysoftcorr"):
        (line,) = plt.subplots()[1].plot([1, 2])
        assert line.get_color().lstrip("#") == PALETTE[0].lstrip("#")


@pytest.mark.parametrize(
    ("suffix", "first"), [("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")]
)
@pytest.mark.parametrize("sheet", [None, "pysoftcorr.plots.paper"])
def test_files_open(tmp_path, suffix, first, sheet):
    with plt.style.context(sheet or "default"):
        figure = correlation().plot().figure
        path = plots.save_figure(figure, tmp_path / f"one.{suffix}")
    data = path.read_bytes()
    assert data.startswith(first)
    if suffix == "pdf":  # whole, its streams intact, and no font of type 3
        assert data.rstrip().endswith(b"%%EOF")
        assert b"/Type3" not in data
        streams = data.split(b"stream\n")[1::2]
        assert any(b"BT" in zlib.decompressobj().decompress(s) for s in streams if s[:1] == b"x")
    elif suffix == "svg":
        from xml.etree import ElementTree

        root = ElementTree.fromstring(data)
        assert root.tag.endswith("svg")
        assert len(list(root.iter())) > 100
    else:
        assert plt.imread(path).shape[1] > (1400 if sheet else 700)
