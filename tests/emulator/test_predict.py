"""What the emulator says: both errors, derivatives, bounds, and what it refuses."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

torch = pytest.importorskip("torch")

from pysoftcorr.emulator import Emulator, OutsideBounds  # noqa: E402
from pysoftcorr.emulator.domain import Bounds  # noqa: E402
from pysoftcorr.emulator.network.passes import physical  # noqa: E402
from pysoftcorr.mocks.design import PARAMETERS, parameter_bounds, training_design  # noqa: E402

EDGES = np.geomspace(0.2, 10, 5)
# More dropout than in earnest: of so few units hardly one would be out.
SMALL = {"members": 3, "width": 8, "depth": 2, "variance_width": 8, "dropout": 0.05}
POINT = [0.7, 0.2, 12.0, 0.26, 12.0, 13.0, 1.0]
STATISTICS = ("xi", "omega", "eta")
ERRORS = ("mean", "aleatoric", "epistemic")


def make(kind, **config):
    config = {**(SMALL if kind == "response" else {}), **config}
    return Emulator.untrained(kind, bins=EDGES, seed=3, **config)


@pytest.fixture(scope="module", params=["response", "published"])
def emulator(request):
    return make(request.param)


@pytest.fixture(scope="module")
def response():
    return make("response")


@pytest.fixture
def points(emulator):
    return emulator.training_bounds.sample(5, seed=1)


def same(a, b, **tolerance):
    for name in STATISTICS:
        for error in ERRORS:
            x, y = (np.asarray(getattr(getattr(said, name), error)) for said in (a, b))
            np.testing.assert_allclose(x, y, err_msg=f"{name} {error}", **tolerance)


# ---------------------------------------------------------------------- numbers
def test_log_normal_is_undone():
    m, s2 = torch.tensor([[0.5, 3.0]]).double(), torch.tensor([[0.01, 1.2]]).double()
    rest = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).double()
    mean, variance = physical(torch.cat([m, rest]), torch.cat([s2, rest]))
    twin = stats.lognorm(s=s2[0].sqrt(), scale=m[0].exp())
    np.testing.assert_allclose(mean[0], twin.mean(), rtol=1e-12)
    np.testing.assert_allclose(variance[0], twin.var(), rtol=1e-12)
    assert torch.equal(mean[1:], rest)
    assert torch.equal(variance[1:], rest)


def test_shapes_and_kinds(emulator, points):
    one, many = emulator.predict(points[0], passes=4), emulator.predict(points, passes=4)
    for said, shape in ((one, (4,)), (many, (5, 4))):
        for name in STATISTICS:
            for error in ERRORS:
                values = getattr(getattr(said, name), error)
                assert type(values) is np.ndarray
                assert values.dtype == np.float64
                assert values.shape == shape
    np.testing.assert_allclose(emulator.r, np.sqrt(EDGES[:-1] * EDGES[1:]))
    assert emulator.names == PARAMETERS
    assert (one.passes, one.seed) == (4, 0)
    np.testing.assert_allclose(
        many.omega.total**2, many.omega.aleatoric**2 + many.omega.epistemic**2
    )


def test_errors_are_those_of_the_passes(emulator, points):
    passes = 70  # more than are held at a time
    said = emulator.predict(points, passes=passes, seed=5)
    draws = emulator.draws(points, passes=passes, seed=5)
    for name in STATISTICS:
        assert draws[name].shape == (passes, 5, 4)
        spread = draws[name].std(axis=0, ddof=1)
        np.testing.assert_allclose(getattr(said, name).epistemic, spread, rtol=2e-4, atol=1e-9)
    mean = emulator.mean_and_std(torch.tensor(points))
    for name in STATISTICS:
        np.testing.assert_allclose(getattr(said, name).mean, mean[name][0], rtol=1e-5)


def test_aleatoric_is_the_mean_variance_of_the_passes(emulator, points):
    masks = emulator.network.draw_masks(6, torch.Generator().manual_seed(5))
    moments = emulator.network.moments(torch.tensor(points).float(), masks)
    variance = physical(*moments)[1].mean(dim=0).sqrt()
    said = emulator.predict(points, passes=6, seed=5)
    for k, name in enumerate(STATISTICS):
        np.testing.assert_allclose(getattr(said, name).aleatoric, variance[:, k], rtol=1e-4)


def test_passes_take_the_members_in_turn(points):
    made = make("response", dropout=0.0).double()
    draws = made.draws(points, passes=8)
    alone = physical(*made.network.moments(torch.tensor(points)))[0]
    for k in range(8):
        np.testing.assert_allclose(draws["omega"][k], alone[k % 3, :, 1], rtol=1e-10)
    np.testing.assert_allclose(
        made.predict(points, passes=3).eta.epistemic, alone[:, :, 2].std(dim=0), rtol=1e-8
    )


def test_no_alignment_no_correlation(response):
    said = response.predict([0.0, 0.0, *POINT[2:]])
    for error in ("mean", "epistemic"):
        assert (getattr(said.omega, error) == 0).all()
        assert (getattr(said.eta, error) == 0).all()
    assert (said.omega.aleatoric > 0).all()


def test_a_point_depends_on_no_other(emulator, points):
    many = emulator.predict(points, passes=7)
    for i in (0, 3):
        one = emulator.predict(points[i], passes=7)
        for name in STATISTICS:
            for error in ERRORS:
                np.testing.assert_allclose(
                    getattr(getattr(many, name), error)[i], getattr(getattr(one, name), error),
                    rtol=1e-3, atol=1e-7,
                )  # fmt: skip


@pytest.mark.slow
def test_in_pieces_as_at_once(emulator, points, monkeypatch):
    whole = emulator.predict(points, passes=7), emulator.jacobian(points)
    rows = []
    network = type(emulator.network)
    moments = network.moments

    def counted(self, params, masks=None):
        rows.append(len(params) * (self.members if masks is None else len(masks[0])))
        return moments(self, params, masks)

    monkeypatch.setattr(network, "moments", counted)
    monkeypatch.setattr(network, "rows_at_once", 14)
    same(emulator.predict(points, passes=7), whole[0], rtol=1e-3, atol=1e-7)
    assert max(rows) <= 14
    for name, slope in emulator.jacobian(points).items():
        np.testing.assert_allclose(slope, whole[1][name], rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_seeds(emulator):
    before = torch.random.get_rng_state()
    a, b, c = (emulator.predict(POINT, passes=5, seed=s) for s in (1, 1, 2))
    same(a, b, rtol=0)
    assert (a.omega.epistemic != c.omega.epistemic).all()
    np.testing.assert_array_equal(a.omega.mean, c.omega.mean)
    drawn = emulator.predict(POINT, passes=5, seed=np.random.default_rng(1))
    same(drawn, emulator.predict(POINT, passes=5, seed=drawn.seed), rtol=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_names_and_sequence_agree(response):
    named = dict(zip(PARAMETERS[::-1], POINT[::-1], strict=True))
    same(response.predict(named), response.predict(POINT), rtol=0)
    several = response.predict({**named, "mu_cen": [0.1, 0.2]})
    assert several.xi.mean.shape == (2, 4)
    np.testing.assert_allclose(several.parameters[:, 0], [0.1, 0.2])


# ---------------------------------------------------------------------- derivatives
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["response", "published"])
def test_jacobian_is_that_of_finite_differences(kind):
    made = make(kind).double()
    points = made.training_bounds.sample(3, seed=2)
    jacobian = made.jacobian(points)
    step = 1e-5
    for j in range(7):
        move = step * np.eye(7)[j]
        up, down = (made.mean_and_std(torch.tensor(points + s * move)) for s in (1, -1))
        for name in STATISTICS:
            assert jacobian[name].shape == (3, 4, 7)
            slope = (up[name][0] - down[name][0]).numpy() / (2 * step)
            size = abs(jacobian[name]).max()
            np.testing.assert_allclose(jacobian[name][..., j], slope, rtol=1e-5, atol=1e-6 * size)
    assert made.jacobian(POINT)["xi"].shape == (4, 7)


@pytest.mark.slow
@pytest.mark.parametrize("mu", [-1.0, 0.0, 1.0])
def test_derivatives_are_finite_at_marked_strengths(emulator, mu):
    point = [mu, mu, *POINT[2:]]
    slopes = emulator.jacobian(point)
    assert all(np.isfinite(s).all() for s in slopes.values())
    x = torch.tensor(point, requires_grad=True)
    said = emulator.predict(x, passes=4)
    total = sum(getattr(getattr(said, n), e).sum() for n in STATISTICS for e in ERRORS)
    (slope,) = torch.autograd.grad(total, x)
    assert torch.isfinite(slope).all()
    assert (slope != 0).any()


def test_errors_of_nothing_have_no_slope():
    made = make("response", members=1, dropout=0.0)
    x = torch.tensor(POINT, requires_grad=True)
    said = made.predict(x, passes=4)
    assert (said.omega.epistemic == 0).all()
    (slope,) = torch.autograd.grad(said.omega.epistemic.sum(), x)
    assert (slope == 0).all()


@pytest.mark.slow
def test_torch_in_torch_out(emulator, points):
    x = torch.tensor(points, requires_grad=True)
    said = emulator.predict(x, passes=4)
    same_as = emulator.predict(points, passes=4)
    slopes = emulator.jacobian(points)
    for name in STATISTICS:
        mean = getattr(said, name).mean
        assert mean.dtype == torch.float64
        np.testing.assert_allclose(mean.detach(), getattr(same_as, name).mean, rtol=1e-6)
        (slope,) = torch.autograd.grad(mean[:, 2].sum(), x, retain_graph=True)
        size = abs(slopes[name]).max()
        np.testing.assert_allclose(slope, slopes[name][:, 2], rtol=1e-3, atol=1e-4 * size)
    assert emulator.predict(x.detach().float(), passes=4).xi.mean.dtype == torch.float32
    assert not emulator.predict(x.detach(), passes=4).xi.mean.requires_grad


def test_mean_and_std_takes_any_leading_axes(emulator, points):
    x = torch.tensor(points)
    flat = emulator.mean_and_std(x)
    many = emulator.mean_and_std(x[None, :, None].expand(2, 5, 3, 7))
    mapped = torch.func.vmap(lambda p: emulator.mean_and_std(p)["omega"][0])(x)
    single = emulator.mean_and_std(x[0])
    for name in STATISTICS:
        for k in (0, 1):
            assert many[name][k].shape == (2, 5, 3, 4)
            np.testing.assert_allclose(many[name][k][1, :, 2], flat[name][k], rtol=1e-4)
            np.testing.assert_allclose(single[name][k], flat[name][k][0], rtol=1e-4)
    np.testing.assert_allclose(mapped, flat["omega"][0], rtol=1e-3, atol=1e-7)


def test_second_derivatives(response):
    made = Emulator(
        response.network, bins=EDGES, bounds=response.training_bounds
    ).double()  # a copy: the fixture stays in single precision
    x = torch.tensor(POINT).double().requires_grad_()

    def omega(p):
        return made.mean_and_std(p)["omega"][0]

    assert torch.autograd.gradcheck(omega, (x,))
    assert torch.autograd.gradgradcheck(omega, (x,))


def test_precision_and_back(response):
    made = Emulator(response.network, bins=EDGES, bounds=response.training_bounds)
    single = made.predict(POINT, passes=4)
    assert made.double().dtype == torch.float64
    same(made.predict(POINT, passes=4), single, rtol=1e-4, atol=1e-7)
    same(made.float().predict(POINT, passes=4), single, rtol=0)
    assert made.to("cpu") is made


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu(emulator, points):
    on_gpu = Emulator(emulator.network, bins=EDGES, bounds=emulator.training_bounds).to("cuda")
    same(on_gpu.predict(points, passes=7), emulator.predict(points, passes=7), rtol=1e-2, atol=1e-5)
    x = torch.tensor(points, device="cuda", requires_grad=True)
    said = on_gpu.predict(x, passes=4)
    assert said.xi.mean.device.type == "cuda"
    said.xi.mean.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert on_gpu.jacobian(torch.tensor(points))["xi"].device.type == "cpu"


# ---------------------------------------------------------------------- covariance
@pytest.mark.slow
def test_epistemic_covariance(emulator):
    covariance = emulator.epistemic_covariance(POINT, passes=40, seed=1)
    said = emulator.predict(POINT, passes=40, seed=1)
    draws = emulator.draws(POINT, passes=40, seed=1)
    for name in STATISTICS:
        np.testing.assert_allclose(covariance[name], np.cov(draws[name].T), rtol=1e-8)
        np.testing.assert_allclose(
            np.sqrt(np.diag(covariance[name])), getattr(said, name).epistemic, rtol=1e-3
        )
    with pytest.raises(ValueError, match=r"that of one point, shape \(7,\)"):
        emulator.epistemic_covariance([POINT, POINT])


# ---------------------------------------------------------------------- bounds
def test_outside_is_said(response):
    table = np.tile(POINT, (8, 1))
    table[[1, 2, 3, 4, 5, 6], 5] = 15.0
    table[4, 2] = 14.0
    with pytest.warns(OutsideBounds) as caught:
        response.predict(table, passes=2)
    (text,) = (str(w.message) for w in caught)
    assert "logMmin = 14 is outside of [11, 13.2] in row 4" in text
    assert "logM1 = 15 is outside of [12.46, 13.82] at logMmin = 12" in text
    assert " in rows 1, 2, 3, 4, 5 and 1 more" in text
    assert caught[0].filename == __file__
    with pytest.raises(ValueError, match="logM1 = 15 is outside"):
        response.predict(table, passes=2, on_outside="error")
    with pytest.warns(OutsideBounds, match="alpha = 3 is outside"):
        response.jacobian([*POINT[:6], 3.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        response.predict(table, passes=2, on_outside="ignore")
        response.mean_and_std(torch.tensor(table))
    with pytest.raises(ValueError, match="on_outside = 'stop': must be"):
        response.predict(POINT, on_outside="stop")


def test_bounds_are_the_designs(response):
    bounds = response.training_bounds
    design = training_design(4096, seed=1)
    design = design[design[:, 2] <= 13.2]
    assert len(design) > 2000
    assert not bounds.outside(design).any()
    assert not Bounds.of(design).outside(design).any()
    assert Bounds.of(design).box[2, 1] == design[:, 2].max()
    at = np.linspace(11, 13.2, 1001)
    for name, (low, high) in parameter_bounds(at).items():
        mine = bounds.at(at)[name]
        np.testing.assert_allclose(mine[0], low, atol=1e-3)
        np.testing.assert_allclose(mine[1], high, atol=1e-9)
        assert response.bounds[name] == pytest.approx((low.min(), high.max()), abs=1e-3)
    sample = bounds.sample(500, seed=2)
    assert not bounds.outside(sample).any()
    np.testing.assert_array_equal(sample, bounds.sample(500, seed=2))


def test_bounds_of_other_points_are_their_box():
    rng = np.random.default_rng(1)
    points = rng.uniform(size=(30, 7)) + np.array([0, 0, 11, 0, 14, 14, 3])
    bounds = Bounds.of(points)
    assert not bounds.outside(points).any()
    np.testing.assert_array_equal(bounds.box[2:, 0], points[:, 2:].min(axis=0))
    high = points.max(axis=0)
    assert bounds.outside(np.array([high + 0.5]))[0].tolist() == [True] * 7
    with pytest.raises(ValueError, match="the second must be above the first"):
        Bounds.design((13.0, 11.0))


# ---------------------------------------------------------------------- refused
MASS = [0.7, 0.2, 1e12, 0.26, 12.0, 13.0, 1.0]
ROLLED = [12.0, 0.26, 12.0, 13.0, 1.0, 0.7, 0.2]


@pytest.mark.parametrize(
    ("params", "kind", "text"),
    [
        (POINT[:6], ValueError, r"shape \(6,\); must be \(7,\) or \(n, 7\), in the order mu_cen"),
        (np.ones((7, 2)), ValueError, r"shape \(7, 2\)"),
        (np.ones((1, 1, 7)), ValueError, r"shape \(1, 1, 7\)"),
        (np.ones((0, 7)), ValueError, "no points"),
        (1.0, ValueError, r"shape \(\)"),
        ("mstar10.5", TypeError, "must be numbers"),
        ([POINT, POINT[:6]], TypeError, "must be numbers"),
        (torch.ones(7, dtype=torch.int64), TypeError, "tensor of torch.int64"),
        ([np.nan, *POINT[1:]], ValueError, "params: mu_cen = nan: must be finite"),
        ([POINT, [*POINT[:5], np.inf, 1.0]], ValueError, "logM1 = inf in row 1"),
        (torch.tensor([*POINT[:6], np.nan]), ValueError, "alpha = nan"),
        ([1.01, *POINT[1:]], ValueError, r"mu_cen = 1.01: an alignment strength lies in \[-1, 1\]"),
        ([*POINT[:3], 0.0, *POINT[4:]], ValueError, "sigma_logM = 0: a width is above 0"),
        (MASS, ValueError, r"logMmin = 1e\+12: it is log10 of a mass in Msun/h; give its log.* 12"),
        (ROLLED, ValueError, "mu_cen = 12: .*; is the order mu_cen, mu_sat, logMmin"),
        ({"mu_cen": 0.1, "logmmin": 12}, ValueError, "unknown logmmin and missing mu_sat, logMmin"),
        (dict(zip(PARAMETERS, [[1, 2], [1, 2, 3], *POINT[2:]], strict=True)), ValueError,
         "values that do not go together"),
    ],
)  # fmt: skip
def test_refused(response, params, kind, text):
    for call in (response.predict, response.jacobian, response.draws):
        with pytest.raises(kind, match=text):
            call(params)


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"passes": 1}, ValueError, "passes = 1: must be from 2"),
        ({"passes": 2.5}, TypeError, "passes = 2.5: must be a whole number"),
        ({"seed": -1}, ValueError, "seed = -1"),
        ({"seed": "a"}, TypeError, "seed = 'a'"),
    ],
)
def test_options_refused(response, options, kind, text):
    with pytest.raises(kind, match=text):
        response.predict(POINT, **options)


# ---------------------------------------------------------------------- table
def test_table(response, tmp_path):
    from astropy.table import Table

    said = response.predict(POINT)
    said.write(tmp_path / "p.ecsv")
    table = Table.read(tmp_path / "p.ecsv")
    np.testing.assert_array_equal(table["r_lo"], EDGES[:-1])
    np.testing.assert_array_equal(table["eta_epistemic"], said.eta.epistemic)
    assert '"logMmin": 12.0' in table.meta["PYSOFTCORR"]
    lines = said.summary().splitlines()
    assert len(lines) == 5
    assert f"{said.omega.mean[3]:.3e}" in lines[4]
    with pytest.raises(ValueError, match=r"unknown suffix; use \.ecsv"):
        said.write(tmp_path / "p.txt")
    with pytest.raises(FileExistsError):
        said.write(tmp_path / "p.ecsv")
    with pytest.raises(ValueError, match="of one point; this prediction has 2"):
        response.predict([POINT, POINT]).to_table()
