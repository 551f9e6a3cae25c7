"""The emulator's networks: architecture, exact structure, dropout, scaling, order parameter."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402

from pysoftcorr.emulator.domain import Bounds  # noqa: E402
from pysoftcorr.emulator.network import build, new_network  # noqa: E402
from pysoftcorr.emulator.network.scaling import PublishedScaling, ResponseScaling  # noqa: E402
from pysoftcorr.mocks.alignment import order_parameter as exact  # noqa: E402
from pysoftcorr.mocks.alignment import order_parameter_derivative  # noqa: E402
from pysoftcorr.mocks.strengths import order_parameter  # noqa: E402

SMALL = {"members": 3, "width": 16, "depth": 2, "variance_width": 8, "bins": 4}


@pytest.fixture
def points():
    return torch.tensor(Bounds.design((11.0, 13.2)).sample(6, seed=3))


@pytest.fixture
def response(points):
    many = Bounds.design((11.0, 13.2)).sample(200, seed=4)
    rng = np.random.default_rng(1)
    scaling = ResponseScaling.fit(
        many, rng.normal(size=(200, 4)), 0.1 * rng.normal(size=(200, 5, 4)),
        1e-3 * rng.random((200, 3, 4)),
    )  # fmt: skip
    return new_network("response", SMALL, scaling, seed=1).double().eval()


@pytest.fixture
def published():
    network = new_network("published", {"bins": 4}, seed=2).double()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(3):  # so that the running means of batch norm are not 0 and 1
            network(torch.randn(16, 7, dtype=torch.float64))
    return network.eval()


# ---------------------------------------------------------------------- order parameter
def test_order_parameter_is_the_exact_one():
    ends = np.array([1e-15, 1e-9, 1e-4])
    mu = np.concatenate([np.linspace(-1, 1, 4001), -1 + ends, 1 - ends, ends, -ends])
    x = torch.tensor(mu, requires_grad=True)
    a = order_parameter(x)
    assert abs(a.detach().numpy() - exact(mu)).max() < 1e-13
    (slope,) = torch.autograd.grad(a.sum(), x)
    assert abs(slope.numpy() - order_parameter_derivative(mu)).max() < 1e-9


def test_order_parameter_at_marked_strengths():
    marked = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    a = order_parameter(marked)
    assert a[1] == 0
    assert (a - torch.tensor([-0.5, 0.0, 1.0])).abs().max() < 1e-15
    assert order_parameter(marked.float()).dtype == torch.float32


def test_order_parameter_under_transforms():
    mu = torch.linspace(-1, 1, 9, dtype=torch.float64)
    slope = torch.func.vmap(torch.func.grad(order_parameter))(mu)
    forward = torch.func.jvp(order_parameter, (mu,), (torch.ones_like(mu),))[1]
    np.testing.assert_allclose(slope, order_parameter_derivative(mu.numpy()), atol=1e-9)
    np.testing.assert_allclose(forward, slope, rtol=1e-12)
    assert torch.isnan(order_parameter(torch.tensor([float("nan")]))).all()


# ---------------------------------------------------------------------- published
def test_published_has_the_published_size():
    assert new_network("published", seed=0).n_parameters == 660602


def published_twin(network, x):
    """The published architecture once more, layer by layer from the names of the weights."""
    state = network.state_dict()

    def norm(h, name):
        return F.batch_norm(
            h, state[f"{name}.running_mean"], state[f"{name}.running_var"],
            state[f"{name}.weight"], state[f"{name}.bias"],
        )  # fmt: skip

    def dense(h, name):
        h = F.linear(h, state[f"{name}.linear.weight"], state[f"{name}.linear.bias"])
        return F.leaky_relu(norm(h, f"{name}.norm"), 0.01)

    def conv(h, name):
        h = F.conv1d(h, state[f"{name}.conv.weight"], state[f"{name}.conv.bias"], padding=1)
        return F.leaky_relu(norm(h, f"{name}.norm"), 0.01)

    h1 = dense(x, "encoder.0")
    h2 = dense(h1, "encoder.1")
    shortcut = "encoder.2.shortcut"
    h3 = dense(h2, "encoder.2") + F.linear(h2, state[f"{shortcut}.weight"],
                                           state[f"{shortcut}.bias"])  # fmt: skip
    h4 = dense(h3, "encoder.3") + h3
    code = dense(h4, "encoder.4")
    assert [h.shape[1] for h in (h1, h2, h3, h4, code)] == [128, 128, 256, 256, 128]
    out = []
    for k in range(3):
        name = f"decoders.{k}"
        y = dense(code, f"{name}.spread").reshape(len(x), 7, 5 * network.bins)
        widths = []
        for layer in range(6):
            new = conv(y, f"{name}.layers.{layer}")
            y = new + y if layer in (2, 5) else new
            widths.append(y.shape[1])
        assert widths == [14, 28, 28, 56, 112, 112]
        y = F.conv1d(y, state[f"{name}.last.weight"], state[f"{name}.last.bias"], stride=5)
        out.append(y)
    raw = torch.stack(out, 1)
    return raw[:, :, 0], F.softplus(raw[:, :, 1])


def test_published_is_its_twin(published, points):
    x = published.scaling.standardized(points) / 5
    mean, variance = published(x)
    twin_mean, twin_variance = published_twin(published, x)
    assert mean.shape == (6, 3, 4)
    np.testing.assert_allclose(mean.detach(), twin_mean.detach(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(variance.detach(), twin_variance.detach() + 1e-8, rtol=1e-10)


def test_published_moments_undo_the_scaling(points):
    rng = np.random.default_rng(5)
    location, width = np.array([[3.0], [0.1], [-0.2]]), np.array([[2.0], [0.3], [0.5]])
    targets = rng.normal(location, width, (50, 8, 3, 4))  # (n, R, 3, bins)
    many = Bounds.design((11.0, 13.2)).sample(50, seed=6)
    scaling = PublishedScaling.fit(many, targets)
    network = new_network("published", {"bins": 4}, scaling, seed=1).double().eval()
    z = (points - torch.tensor(many.mean(axis=0))) / torch.tensor(many.std(axis=0))
    mean, variance = network(z)
    moments = network.moments(points)
    shift, scale = targets.mean(axis=(0, 1, 3)), targets.std(axis=(0, 1, 3))
    for k in range(3):
        np.testing.assert_allclose(
            moments[0][0, :, k].detach(), mean[:, k].detach() * scale[k] + shift[k], rtol=1e-5
        )
        np.testing.assert_allclose(
            moments[1][0, :, k].detach(), variance[:, k].detach() * scale[k] ** 2, rtol=1e-5
        )


# ---------------------------------------------------------------------- response
def perceptron_twin(part, member, x):
    """One member by numpy."""
    weights = [w[member].detach().numpy() for w in part.weights]
    biases = [b[member].detach().numpy() for b in part.biases]

    def silu(h):
        return h / (1 + np.exp(-h))

    h = silu(x @ weights[0] + biases[0])
    for w, b in zip(weights[1:-1], biases[1:-1], strict=True):
        h = h + silu(h @ w + b)
    return h @ weights[-1] + biases[-1]


def test_response_is_its_twin(response, points):
    mean, variance = (t.detach().numpy() for t in response.moments(points))
    assert mean.shape == variance.shape == (3, 6, 3, 4)
    x, s = points.numpy(), {n: b.numpy() for n, b in response.scaling.named_buffers()}
    z = (x - s["input_mean"]) @ s["input_matrix"].T
    cen, sat = exact(x[:, 0])[:, None], exact(x[:, 1])[:, None]
    for member in range(3):
        out = perceptron_twin(response.trunk, member, z[:, 2:]).reshape(6, 6, 4)
        log_xi, a, b, c, d, e = np.moveaxis(out * s["target_std"] + s["target_mean"], 1, 0)
        np.testing.assert_allclose(mean[member, :, 0], log_xi, rtol=1e-10)
        np.testing.assert_allclose(mean[member, :, 1], cen * a + sat * b, rtol=1e-9)
        eta = cen**2 * c + cen * sat * d + sat**2 * e
        np.testing.assert_allclose(mean[member, :, 2], eta, rtol=1e-9)
        logs = perceptron_twin(response.variance_xi, member, z[:, 2:])
        axes = np.concatenate([z[:, 2:], cen, sat, x[:, :2]], axis=1)
        logs = np.concatenate([logs, perceptron_twin(response.variance_axes, member, axes)], 1)
        logs = 20 * np.tanh(logs.reshape(6, 3, 4) / 20) + s["log_variance"]
        np.testing.assert_allclose(variance[member], np.exp(logs), rtol=1e-9)


def test_no_alignment_no_correlation(response, points):
    points[:, :2] = 0
    mean, variance = response.moments(points)
    assert (mean[:, :, 1:] == 0).all()
    assert (variance > 0).all()


def test_xi_is_blind_to_alignment(response, points):
    turned = points.clone()
    turned[:, :2] = -points[:, :2].flip(1)
    for here, there in zip(response.moments(points), response.moments(turned), strict=True):
        assert torch.equal(here[:, :, 0], there[:, :, 0])
        assert not torch.isclose(here[:, :, 1:], there[:, :, 1:]).any()


def test_members_may_have_points_of_their_own(response, points):
    own = torch.stack([points, points.flip(0), points.roll(1, 0)])
    shared = response.responses(points)
    each = response.responses(own)
    np.testing.assert_allclose(each[0].detach(), shared[0].detach(), rtol=1e-10)
    np.testing.assert_allclose(each[1].detach(), shared[1].flip(0).detach(), rtol=1e-10)
    logs = response.log_variances(own)
    np.testing.assert_allclose(
        logs[2].detach(), response.log_variances(points)[2].roll(1, 0).detach(), rtol=1e-10
    )


# ---------------------------------------------------------------------- dropout
@pytest.mark.parametrize("kind", ["response", "published"])
def test_masks_of_ones_change_nothing(kind, response, published, points):
    network = response if kind == "response" else published
    masks = [torch.ones_like(m) for m in network.draw_masks(7, torch.Generator().manual_seed(0))]
    plain = network.moments(points)
    for here, there in zip(network.moments(points, masks), plain, strict=True):
        assert len(here) == 7
        for k in range(7):
            np.testing.assert_allclose(here[k].detach(), there[k % len(there)].detach(), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["response", "published"])
def test_dropout_reaches_every_layer(kind, points):
    network = new_network(kind, {"bins": 4, "dropout": 0.3}, seed=1).double().eval()
    masks = network.draw_masks(4, torch.Generator().manual_seed(0))
    expected = sum(type(m).__name__ in ("_Dense", "_Convolution") for m in network.modules())
    assert len(masks) == (expected if kind == "published" else 3 + 2 + 2)
    plain = network.moments(points)[0][0].detach()
    first = 26 if kind == "published" else 7
    assert len(masks) == first
    for k, mask in enumerate(masks):
        ones = [torch.ones_like(m) for m in masks]
        ones[k] = mask
        changed = [t[0].detach() for t in network.moments(points, ones)]
        original = [t[0].detach() for t in network.moments(points)]
        assert any(not torch.allclose(a, b) for a, b in zip(changed, original, strict=True)), k
        # 0 where dropped, 1/(1 - p) where kept: its mean is 1 within five standard errors.
        np.testing.assert_allclose(mask.unique(), [0, 1 / 0.7])
        assert abs(mask.mean() - 1) < 5 * (0.3 / 0.7 / mask.numel()) ** 0.5
    assert plain.shape == (6, 3, 4)


@pytest.mark.parametrize("kind", ["response", "published"])
def test_dropout_is_torchs_while_training(kind, points):
    network = new_network(kind, {"bins": 4, "dropout": 0.3}, seed=1).double()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first, second = network.moments(points)[0], network.moments(points)[0]
        assert not torch.allclose(first, second)
    network.eval()
    assert torch.equal(network.moments(points)[0], network.moments(points)[0])


def test_seeds_of_weights():
    before = torch.random.get_rng_state()
    a, b, c = (new_network("response", SMALL, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(a.trunk.weights[0], b.trunk.weights[0])
    assert not torch.equal(a.trunk.weights[0], c.trunk.weights[0])


@pytest.mark.parametrize(
    ("kind", "config", "kind_of_error", "text"),
    [
        ("cnn", {}, ValueError, "kind = 'cnn': must be one of published, response"),
        ("response", {"members": 0}, ValueError, "members = 0: must be from 1 to 64"),
        ("response", {"width": 1.5}, TypeError, "width = 1.5: must be a whole number"),
        ("published", {"dropout": 1.0}, ValueError, "dropout = 1.0: must be below 1"),
    ],
)
def test_keywords_out_of_range(kind, config, kind_of_error, text):
    with pytest.raises(kind_of_error, match=text):
        build(kind, config)


# ---------------------------------------------------------------------- scaling
def test_response_input_is_white():
    many = Bounds.design((11.0, 13.2)).sample(3000, seed=5)
    scaling = ResponseScaling.fit(
        many, np.random.default_rng(1).normal(size=(3000, 2)), np.ones((3000, 5, 2)),
        np.ones((3000, 3, 2)),
    )  # fmt: skip
    z = scaling.standardized(torch.tensor(many).float()).double().numpy()
    np.testing.assert_allclose(z[:, 2:].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(z[:, 2:].T), np.eye(5), atol=1e-3)
    np.testing.assert_allclose(z[:, :2], many[:, :2], atol=1e-6)
    assert (scaling.target_std[1:] == 1).all()  # no spread: nothing to divide by


def test_constant_parameters_are_no_trouble():
    many = np.tile([0.1, 0.2, 12.0, 0.3, 12.0, 13.0, 1.0], (10, 1))
    many[:, 2] += np.linspace(0, 1, 10)
    scaling = ResponseScaling.fit(many, np.ones((10, 2)), np.ones((10, 5, 2)), np.ones((10, 3, 2)))
    assert torch.isfinite(scaling.standardized(torch.tensor(many).float())).all()
    scaling = PublishedScaling.fit(many, np.random.default_rng(0).random((10, 3, 2)))
    assert torch.isfinite(scaling.standardized(torch.tensor(many).float())).all()


def test_scaling_refuses():
    many = Bounds.design((11.0, 13.2)).sample(10, seed=5)
    y = np.ones((10, 3, 2))
    with pytest.raises(ValueError, match=r"parameters of shape \(10, 6\)"):
        PublishedScaling.fit(many[:, 1:], y)
    with pytest.raises(ValueError, match="targets has 9 rows, parameters 10"):
        PublishedScaling.fit(many, y[1:])
    y[4, 1, 0] = np.nan
    with pytest.raises(ValueError, match="targets is not finite in row 4"):
        PublishedScaling.fit(many, y)
    with pytest.raises(ValueError, match=r"responses of shape \(10, 4, 2\)"):
        ResponseScaling.fit(many, np.ones((10, 2)), np.ones((10, 4, 2)), np.ones((10, 3, 2)))
    with pytest.raises(ValueError, match="variances: a bin has none"):
        ResponseScaling.fit(many, np.ones((10, 2)), np.ones((10, 5, 2)), np.zeros((10, 3, 2)))
