"""Results: errors from resamples, joint covariances, equality, tables and text."""

import copy
import json
import pickle
import sys
import types
from collections import Counter
from html.parser import HTMLParser

import astropy.units as u
import numpy as np
import pytest

from pysoftcorr import __version__
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.covariances import covariance, factor, mean, noise_excess
from pysoftcorr.sky.result import Correlation, CorrelationSet

NBINS = 4


def correlation(name="xip", draw=0, nbins=NBINS, epistemic=6, aleatoric=9, **changes):
    """A made-up correlation with so many resamples; its last bin is empty."""
    rng = np.random.default_rng([draw, nbins])
    empty = np.zeros(nbins, dtype=bool)
    empty[-1] = True

    def per_bin():
        return np.where(empty, np.nan, rng.normal(1, 0.1, nbins))

    def resamples(n):
        if not n:
            return None
        values = rng.normal(size=(n, nbins)) + 1j * rng.normal(size=(n, nbins))
        values[:, empty] = complex(np.nan, np.nan)
        return values

    given = {
        "name": name,
        "bins": Binning.linear(0, 45, nbins),
        **{key: per_bin() for key in ("theta", "logtheta", "value", "imag", "varshot")},
        "npairs": np.where(empty, 0, 12),
        "weight": np.where(empty, 0, 12.5),
        "epistemic": resamples(epistemic),
        "aleatoric": resamples(aleatoric),
        "aleatoric_method": "bootstrap" if aleatoric else None,
        "settings": {"clusters": 100, "bins": "linear:0:45:8", "m": 2.0},
        "seed": 1,
    }
    return Correlation(**(given | changes))


# ---------------------------------------------------------------------- both errors
def test_bootstrap_and_epistemic_covariances_are_sample_covariances():
    result = correlation()
    for kind in ("epistemic", "aleatoric"):
        draws = getattr(result, kind).real[:, :-1]
        got = getattr(result, f"cov_{kind}")
        np.testing.assert_allclose(got[:-1, :-1], np.cov(draws.T), rtol=1e-12)
        assert np.isnan(got[-1]).all()
        sigma = getattr(result, f"sigma_{kind}")
        np.testing.assert_allclose(sigma[:-1], draws.std(axis=0, ddof=1), rtol=1e-12)
        np.testing.assert_allclose(
            getattr(result, f"mean_{kind}")[:-1], draws.mean(axis=0), rtol=1e-12
        )
    total = result.cov_epistemic + result.cov_aleatoric
    np.testing.assert_array_equal(result.cov, total)
    np.testing.assert_array_equal(result.sigma, np.sqrt(np.diag(total)))
    np.testing.assert_array_equal(result.sigma_shot, np.sqrt(result.varshot))


def test_jackknife_of_a_mean_is_its_standard_error():
    """The delete-one jackknife of a plain mean is exactly s^2/n."""
    rng = np.random.default_rng(5)
    data = rng.normal(size=(20, NBINS))
    left = np.array([np.delete(data, k, axis=0).mean(axis=0) for k in range(20)])
    plain = correlation(aleatoric=0, epistemic=0)
    result = _with(plain, aleatoric=left, aleatoric_method="jackknife")
    np.testing.assert_allclose(result.cov_aleatoric, np.cov(data.T) / 20, rtol=1e-10)
    assert result.aleatoric_factor == 19 / 20


def test_leave_out_uses_the_factor_it_is_given():
    draws = np.random.default_rng(2).normal(size=(7, NBINS))
    plain = correlation(aleatoric=0)
    result = _with(plain, aleatoric=draws, aleatoric_method="leave-out", aleatoric_factor=0.25)
    centered = draws - draws.mean(axis=0)
    np.testing.assert_allclose(result.cov_aleatoric, 0.25 * centered.T @ centered, rtol=1e-12)


def _with(result, **changes):
    """A copy with other fields."""
    names = Correlation.__dataclass_fields__
    return Correlation(**({n: getattr(result, n) for n in names} | changes))


def test_without_resamples_there_is_no_error_but_shot_noise():
    result = correlation(epistemic=0, aleatoric=0)
    for name in ("cov", "cov_epistemic", "cov_aleatoric", "sigma", "mean_epistemic"):
        assert getattr(result, name) is None
    assert result.sigma_epistemic is None
    assert result.sigma_aleatoric is None
    assert result.mean_aleatoric is None
    alone = correlation(epistemic=0)
    np.testing.assert_array_equal(alone.cov, alone.cov_aleatoric)


def test_one_resample_says_nothing_about_errors():
    result = correlation(epistemic=1, aleatoric=1)
    assert np.isnan(result.cov).all()
    assert np.isfinite(result.mean_epistemic[:-1]).all()


def test_resamples_without_pairs_in_a_bin():
    """Each entry is made of the draws that have both bins, with their own means."""
    rng = np.random.default_rng(8)
    draws = rng.normal(1e3, 1, size=(30, 5))
    draws[rng.random(draws.shape) < 0.3] = np.nan
    draws[1:, 4] = np.nan
    draws[0, 4] = 3.0
    n = len(draws)
    got = covariance(draws, 1 / (n - 1))
    jackknifed = covariance(draws, (n - 1) / n)
    for i in range(5):
        for j in range(5):
            both = np.isfinite(draws[:, i]) & np.isfinite(draws[:, j])
            if both.sum() < 2:
                assert np.isnan(got[i, j])
                continue
            wanted = np.cov(draws[both, i], draws[both, j])[0, 1]
            np.testing.assert_allclose(got[i, j], wanted, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(
                jackknifed[i, j], wanted * (n - 1) ** 2 / n, rtol=1e-9, atol=1e-10
            )
    np.testing.assert_array_equal(mean(draws), np.nanmean(draws, axis=0))
    assert np.isnan(mean(np.full((3, 1), np.nan))).all()


def test_factors():
    assert factor("bootstrap", 11) == 0.1
    assert factor("jackknife", 10) == 0.9
    assert np.isnan(factor("jackknife", 1))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["bootstrap", "jackknife", "leave-out"])
def test_noise_excess_is_that_of_pairs_without_a_signal(way):
    """Resamples of the mean product of independent numbers, against its true scatter."""
    rng = np.random.default_rng(3)
    n, tries, fraction = 60, 400, 0.3
    upper = np.triu_indices(n, 1)

    def mean_product(fields, times):
        products = np.outer(times, times)[upper]
        return np.array([np.outer(e, e)[upper] @ products for e in fields]) / products.sum()

    if way == "bootstrap":
        drawn = [np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(300)]
    elif way == "jackknife":
        drawn = list(1.0 - np.eye(n))
    else:
        drawn = [rng.permutation(n) >= fraction * n for _ in range(300)]
    scale = factor(way, len(drawn))
    if way == "leave-out":
        scale = (1 - fraction) / (fraction * len(drawn))
    fields = rng.normal(size=(tries, n))
    true = mean_product(fields, np.ones(n)).std()
    resampled = np.array([mean_product(fields, np.asarray(t, float)) for t in drawn])
    found = np.sqrt(np.mean(scale * np.sum((resampled - resampled.mean(axis=0)) ** 2, axis=0)))
    # The scatter of 400 values is known to 1/sqrt(800); 60 objects are not infinitely many.
    assert found / true == pytest.approx(noise_excess(way, len(drawn), scale), rel=0.12)


def test_noise_excess_of_a_result():
    assert correlation(aleatoric=0).noise_excess is None
    assert correlation().noise_excess == pytest.approx(np.sqrt(3))
    assert correlation(aleatoric_method="jackknife").noise_excess == pytest.approx(np.sqrt(2))
    f = 0.1
    left = correlation(aleatoric_method="leave-out", aleatoric_factor=(1 - f) / (f * 9))
    assert left.noise_excess == pytest.approx(np.sqrt((2 - f) / (1 - f)))
    for settings in ({"resampling": "jackknife:25:match"}, {"cross_patch_weight": "match"}):
        matched = correlation(aleatoric_method="jackknife", settings=settings)
        assert matched.noise_excess == 1.0
        assert "note: " not in matched.summary()


# ---------------------------------------------------------------------- all pairs
def test_all_pairs_stand_beside_clusters_everywhere():
    rows = {"catalogs": [{"name": None, "rows": 40}]}
    soft = CorrelationSet([correlation(k, draw=1, settings=rows) for k in ("rho1", "rho2")])
    naive = CorrelationSet([correlation(k, draw=2, settings=rows) for k in ("rho2", "rho1")])
    both = soft.with_all_pairs(naive)
    assert soft.rho1.all_pairs is None
    for name in soft:
        got = both[name].all_pairs
        np.testing.assert_array_equal(got.real, naive[name].value)
        np.testing.assert_array_equal(got.imag, naive[name].imag)
        assert not got.flags.writeable
        assert _with(both[name], all_pairs=None) == soft[name]
    table = both.to_table()
    np.testing.assert_array_equal(table["all_pairs"][:NBINS], naive.rho1.value)
    np.testing.assert_array_equal(table["all_pairs_imag"][NBINS:], naive.rho2.imag)
    data = json.loads(json.dumps(both.to_dict(), allow_nan=False))
    assert data["rho2"]["all_pairs"][:-1] == list(naive.rho2.value[:-1])
    assert data["rho2"]["all_pairs"][-1] is None
    titles, first = (line.split() for line in both.rho1.summary().splitlines()[1:3])
    place = titles.index("mu_all_pairs") - len(titles)
    assert float(first[place]) == pytest.approx(naive.rho1.value[0], rel=1e-4)
    assert "mu_all_pairs" not in soft.summary()
    assert both.rho1 != soft.rho1
    assert pickle.loads(pickle.dumps(both)) == both


@pytest.mark.parametrize(
    ("naive", "kind", "message"),
    [
        (lambda: [correlation("rho1")], ValueError, "must be the same statistics, rho1, rho2"),
        (lambda: [correlation(k) for k in ("rho1", "rho2", "rho3")], ValueError, "same statistics"),
        (
            lambda: [correlation(k, nbins=5) for k in ("rho1", "rho2")],
            ValueError,
            "naive: rho1 has bins linear:0:45:5",
        ),
        (
            lambda: [
                correlation(k, settings={"catalogs": [{"rows": 39}]}) for k in ("rho1", "rho2")
            ],
            ValueError,
            "naive: rho1 is of 39 objects; must be the same 40",
        ),
        (
            lambda: [correlation(k, settings={"clusters": 5}) for k in ("rho1", "rho2")],
            ValueError,
            "naive: rho1 was made from clusters",
        ),
    ],
)
def test_all_pairs_of_something_else(naive, kind, message):
    rows = {"catalogs": [{"rows": 40}], "clusters": 9}
    soft = CorrelationSet([correlation(k, settings=rows) for k in ("rho1", "rho2")])
    with pytest.raises(kind, match=message):
        soft.with_all_pairs(CorrelationSet(naive()))


def test_all_pairs_need_a_set():
    soft = CorrelationSet([correlation("rho1")])
    with pytest.raises(TypeError, match="naive must be a CorrelationSet, not ndarray"):
        soft.with_all_pairs(np.ones(NBINS))
    with pytest.raises(TypeError, match="naive holds a float"):
        soft.with_all_pairs({"rho1": 1.0})
    with pytest.raises(ValueError, match=r"all_pairs must have shape \(4,\)"):
        correlation(all_pairs=[1.0])


# ---------------------------------------------------------------------- joint covariance
def test_joint_covariance_across_statistics():
    both = CorrelationSet([correlation("xip", 1), correlation("xim", 2)], name="xi_pm")
    joint = np.hstack([both[k].aleatoric.real[:, :-1] for k in ("xip", "xim")])
    got = both.covariance("aleatoric")
    keep = np.isfinite(np.diag(got))
    np.testing.assert_allclose(got[np.ix_(keep, keep)], np.cov(joint.T), rtol=1e-12)
    np.testing.assert_array_equal(got[:NBINS, :NBINS], both.xip.cov_aleatoric)
    swapped = both.covariance("aleatoric", names=["xim", "xip"])
    np.testing.assert_array_equal(swapped[:NBINS, NBINS:], got[NBINS:, :NBINS])
    np.testing.assert_array_equal(
        both.covariance(), both.covariance("aleatoric") + both.covariance("epistemic")
    )
    alone = CorrelationSet([correlation(epistemic=0)])
    np.testing.assert_array_equal(alone.covariance(), alone.xip.cov_aleatoric)


def test_joint_covariance_that_cannot_be():
    both = CorrelationSet([correlation("a"), correlation("b", aleatoric=5)])
    with pytest.raises(ValueError, match="aleatoric resamples of a, b differ"):
        both.covariance("aleatoric")
    with pytest.raises(ValueError, match="kind = 'shot': must be"):
        both.covariance("shot")
    with pytest.raises(KeyError, match="no statistic 'c'; there are a, b"):
        both.covariance(names=["c"])
    with pytest.raises(ValueError, match="at least one statistic"):
        both.covariance(names=[])
    lacking = CorrelationSet([correlation("a"), correlation("b", epistemic=0)])
    with pytest.raises(ValueError, match="b: no epistemic resamples"):
        lacking.covariance()
    with pytest.raises(ValueError, match="no resamples, hence no covariance"):
        CorrelationSet([correlation(epistemic=0, aleatoric=0)]).covariance()


# ---------------------------------------------------------------------- the objects
def test_arrays_are_copies_and_frozen():
    value = np.ones(NBINS)
    result = correlation(value=value)
    value[0] = 5
    assert result.value[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        result.value[0] = 2
    with pytest.raises(AttributeError):
        result.value = value
    assert result.version == __version__
    assert len(result) == NBINS


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_are_frozen_too(copied):
    both = CorrelationSet([correlation("a"), correlation("b", all_pairs=np.ones(NBINS))], name="p")
    again = copied(both)
    assert again == both
    for item in (again.a, again.b, copied(both.b)):
        for name in ("value", "npairs", "epistemic", "aleatoric", "all_pairs"):
            values = getattr(item, name)
            if values is not None:
                with pytest.raises(ValueError, match="read-only"):
                    values[0] = 1


def test_equality_counts_nan_as_equal_and_sees_every_number():
    result = correlation()
    assert result == correlation()
    assert result == copy.deepcopy(result)
    assert result == pickle.loads(pickle.dumps(result))
    assert result != "xip"
    for name in ("theta", "logtheta", "value", "imag", "npairs", "weight", "varshot"):
        changed = getattr(result, name).copy()
        changed[0] = np.nextafter(changed[0], 9)
        assert _with(result, **{name: changed}) != result, name
    for name in ("epistemic", "aleatoric"):
        changed = getattr(result, name).copy()
        changed.imag[0, -1] = 0.0  # was NaN, and its real part still is
        assert _with(result, **{name: changed}) != result
    for changes in (
        {"name": "xim"},
        {"bins": Binning.linear(0, 46, NBINS)},
        {"settings": {}},
        {"seed": None},
        {"version": "0"},
        {"epistemic": None},
        {"epistemic": result.epistemic[1:]},
        {"aleatoric_factor": 1.0},
        {"aleatoric_method": "jackknife", "aleatoric_factor": result.aleatoric_factor},
    ):
        assert _with(result, **changes) != result, changes


def test_settings_are_what_json_gives_back():
    result = correlation(
        settings={"t": (1, 2), "n": np.int64(3), "a": np.arange(2.0), "b": Binning.linear(0, 1, 1)}
    )
    assert result.settings == {
        "t": [1, 2],
        "n": 3,
        "a": [0.0, 1.0],
        "b": {"kind": "linear", "unit": "arcmin", "edges": [0.0, 1.0]},
    }
    with pytest.raises(TypeError, match=r"settings hold .*, which JSON cannot"):
        correlation(settings={"f": test_factors})
    with pytest.raises(TypeError, match="settings must be a dict, not list"):
        correlation(settings=[])


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"value": [1, 2]}, ValueError, r"value must have shape \(4,\), not \(2,\)"),
        ({"epistemic": np.zeros(4)}, ValueError, r"epistemic must have shape \(n, 4\), not \(4,\)"),
        ({"aleatoric": np.zeros((0, 4))}, ValueError, r"not \(0, 4\)"),
        ({"aleatoric_method": "magic"}, ValueError, "aleatoric_method = 'magic': must be one of"),
        ({"aleatoric_method": None}, ValueError, "aleatoric_method = None"),
        ({"aleatoric_method": "leave-out"}, ValueError, "aleatoric_factor is needed for leave-out"),
        ({"aleatoric": None}, ValueError, "go with aleatoric resamples"),
        ({"bins": [0, 1]}, TypeError, "bins must be a Binning, not list"),
        ({"name": "a/b"}, ValueError, "name = 'a/b': must be letters"),
        ({"name": 1}, TypeError, "name must be text"),
        ({"seed": 1.5}, TypeError, "seed = 1.5"),
    ],
)
def test_impossible_correlations(changes, kind, message):
    result = correlation()
    with pytest.raises(kind, match=message):
        _with(result, **({"aleatoric_factor": None} | changes))


def test_set_is_a_mapping_with_attributes():
    items = [correlation(name, k) for k, name in enumerate(("rho1", "rho2", "rho3"))]
    rho = CorrelationSet(items, name="rho_statistics")
    assert list(rho) == ["rho1", "rho2", "rho3"]
    assert rho["rho2"] is items[1]
    assert rho.rho2 is items[1]
    assert "rho2" in dir(rho)
    assert len(rho) == 3
    assert "rho4" not in rho
    assert (rho.bins, rho.seed, rho.version) == (items[0].bins, 1, __version__)
    assert rho.settings["clusters"] == 100
    assert CorrelationSet(rho, name="rho_statistics") == rho
    assert pickle.loads(pickle.dumps(rho)) == rho
    assert copy.copy(rho) == rho
    assert rho != CorrelationSet(items[::-1], name="rho_statistics")
    assert rho != CorrelationSet(items)
    assert rho != items
    with pytest.raises(KeyError, match="no statistic 'rho9'; there are rho1, rho2, rho3"):
        rho["rho9"]
    with pytest.raises(AttributeError, match="no attribute or statistic 'rho9'"):
        _ = rho.rho9


@pytest.mark.parametrize(
    ("items", "kind", "message"),
    [
        (lambda: [], ValueError, "at least one correlation"),
        (lambda: [1], TypeError, "holds Correlations, not int"),
        (lambda: [correlation("a"), correlation("b", nbins=5)], ValueError, "b has bins linear"),
        (lambda: [correlation("a"), correlation("A")], ValueError, "names .* must differ: a, A"),
    ],
)
def test_impossible_sets(items, kind, message):
    with pytest.raises(kind, match=message):
        CorrelationSet(items())


# ---------------------------------------------------------------------- showing
def test_table_has_units_and_errors():
    result = correlation()
    table = result.to_table()
    assert table["theta"].unit == u.arcmin
    np.testing.assert_array_equal(table["theta_lo"], result.bins.edges[:-1])
    np.testing.assert_array_equal(table["theta_hi"], result.bins.edges[1:])
    for name in ("theta", "logtheta", "value", "imag", "npairs", "weight"):
        np.testing.assert_array_equal(table[name], getattr(result, name))
    for name in ("sigma_shot", "sigma_epistemic", "sigma_aleatoric", "sigma"):
        np.testing.assert_array_equal(table[name], getattr(result, name))
    assert json.loads(table.meta["settings"]) == result.settings
    assert table.meta["seed"] == 1
    assert np.isnan(correlation(epistemic=0).to_table()["sigma_epistemic"]).all()


def test_table_of_a_set_is_long():
    rho = CorrelationSet([correlation("rho1", 1), correlation("rho2", 2)], name="rho_statistics")
    table = rho.to_table()
    assert len(table) == 2 * NBINS
    rows = table[table["statistic"] == "rho2"]
    np.testing.assert_array_equal(rows["value"], rho.rho2.value)
    assert table.meta["statistics"] == ["rho1", "rho2"]
    assert table["theta"].unit == u.arcmin


def test_dict_is_strict_json():
    rho = CorrelationSet([correlation("rho1", 1, epistemic=0), correlation("rho2", 2)])
    data = json.loads(json.dumps(rho.to_dict(), allow_nan=False))
    assert list(data) == ["rho1", "rho2"]
    assert list(data["rho2"]) == [
        *("theta", "value", "imag", "npairs", "sigma_shot", "sigma_epistemic", "sigma_aleatoric"),
        *("all_pairs", "all_pairs_imag", "noise_excess"),
    ]
    assert data["rho1"]["all_pairs"] == [None] * NBINS
    assert data["rho1"]["npairs"] == [12, 12, 12, 0]
    assert data["rho1"]["value"][-1] is None
    assert data["rho1"]["value"][0] == rho.rho1.value[0]
    assert data["rho1"]["sigma_epistemic"] == [None] * NBINS
    assert data["rho2"]["sigma_epistemic"][:3] == list(rho.rho2.sigma_epistemic[:3])


def test_text_keeps_both_errors_apart():
    result = correlation()
    lines = result.summary().splitlines()
    assert lines[0] == "xip (aleatoric: 9 bootstrap; epistemic: 6 assignments)"
    assert lines[1].split() == [
        *("theta", "[arcmin]", "pairs", "mu", "sigma_aleatoric", "sigma_epistemic", "sigma_shot")
    ]
    start = next(k for k, line in enumerate(lines) if line.startswith("note: "))
    note = " ".join(line.strip() for line in lines[start:])
    assert "sigma_aleatoric (bootstrap) is up to 1.73 times too large" in note
    lines = lines[:start]
    assert len(lines) == 2 + NBINS
    assert len({len(line) for line in lines[1:]}) == 1
    first = lines[2].split()
    assert float(first[-4]) == pytest.approx(result.value[0], rel=1e-4)
    assert float(first[-3]) == pytest.approx(result.sigma_aleatoric[0], rel=1e-3)
    assert float(first[-2]) == pytest.approx(result.sigma_epistemic[0], rel=1e-3)
    assert lines[-1].split()[-4:] == ["-", "-", "-", "-"]
    both = CorrelationSet([correlation("a"), correlation("b", epistemic=0, aleatoric=0)])
    assert "\n\nb (no resamples)\n" in both.summary()
    assert both.summary().count("note: ") == 1
    assert "note: " not in correlation(aleatoric=0).summary()


def test_repr():
    assert repr(correlation()) == (
        "<Correlation xip: linear:0:45:4 arcmin, 36 pairs, 6 sampled assignments, "
        "9 bootstrap resamples>"
    )
    rho = CorrelationSet([correlation("a"), correlation("b")], name="pair")
    assert repr(rho) == "<CorrelationSet pair: a, b, linear:0:45:4 arcmin>"


def test_notebooks_show_tables_with_nothing_unescaped():
    item = correlation(all_pairs=np.ones(NBINS))
    page = item._repr_html_()
    parsed = _Tags()
    parsed.feed(page)
    assert parsed.open == []
    assert parsed.counts["tr"] == 1 + NBINS
    assert parsed.counts["td"] == 7 * NBINS
    assert f"{item.value[0]:+.4e}" in page
    assert "1.73 times" in page
    several = CorrelationSet([correlation("a"), correlation("b")], name="<script>x & y</script>")
    page = several._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;x &amp; y" in page
    parsed = _Tags()
    parsed.feed(page)
    assert (parsed.open, parsed.counts["table"]) == ([], 2)


class _Tags(HTMLParser):
    """Counts tags, and knows those that are open."""

    def __init__(self):
        super().__init__()
        self.open, self.counts = [], Counter()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.counts[tag] += 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_plot_hands_over_to_plots(monkeypatch):
    calls = []
    stand_in = types.ModuleType("pysoftcorr.plots")
    stand_in.plot_correlation = lambda one, ax=None, **kw: calls.append((one.name, ax, kw))
    stand_in.plot_correlation_set = lambda many, **kw: calls.append((many.name, kw))
    monkeypatch.setitem(sys.modules, "pysoftcorr.plots", stand_in)
    both = CorrelationSet([correlation("a"), correlation("b")], name="pair")
    both.a.plot(color="k")
    both.plot(title="t")
    plain = {"style": "default", "requirement": None}
    assert calls == [
        ("a", None, {"naive": None, "color": "k", "label": None} | plain),
        ("pair", {"naive": None, "title": "t"} | plain),
    ]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0.0, "0"), (7.0, "7"), (1925562.0, "1925562"), (123456789012.0, "123456789012"),
     (12.25, "12.25")],
)  # fmt: skip
def test_counts_show_every_digit(count, text):
    bins = Binning.parse("linear:0:1:1")
    one = np.array([0.5])
    result = Correlation(
        name="xip", bins=bins, theta=one, logtheta=np.log(one), value=one, imag=0 * one,
        npairs=np.array([count]), weight=one, varshot=one,
    )  # fmt: skip
    assert result.summary().splitlines()[-1].split()[3] == text
    assert f"<td>{text}</td>" in result._repr_html_()
