"""Work within one thread of torch: the same values and derivatives, and threads are given back."""

from __future__ import annotations

import threading

import pytest

torch = pytest.importorskip("torch")

from pysoftcorr.core.torch import one_thread, spread, steady  # noqa: E402


@pytest.fixture(autouse=True)
def _three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


def both(x, y):
    """Two tensors, of which the second does not know x and is steep where y is 0."""
    return [(x * x).sum() * y, y.sqrt()]


def test_threads_are_given_back_by_blocks_in_any_order():
    with one_thread():
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError), one_thread():
        _ = 1 / 0
    # The first to enter is the first to leave, while another is within.
    entered, leave, seen = threading.Event(), threading.Event(), []

    def other():
        with one_thread():
            entered.set()
            leave.wait(10)
            seen.append(torch.get_num_threads())

    thread = threading.Thread(target=other)
    with one_thread():
        thread.start()
        entered.wait(10)
    assert torch.get_num_threads() == 3
    leave.set()
    thread.join()
    assert seen == [1]


def test_a_steady_node_has_all_derivatives():
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    y = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    inside = []

    def watched(x, y):
        inside.append(torch.get_num_threads())
        return both(x, y)

    made = steady(watched, x, y)
    plain = both(x, y)
    for mine, theirs in zip(made, plain, strict=True):
        assert torch.equal(mine, theirs)
    for _ in range(2):  # of a graph that is kept
        found = torch.autograd.grad(sum(made), (x, y), retain_graph=True)
        wanted = torch.autograd.grad(sum(plain), (x, y), retain_graph=True)
        assert all(map(torch.equal, found, wanted))
    assert torch.autograd.gradcheck(lambda *z: steady(both, *z), (x, y))
    assert torch.autograd.gradgradcheck(lambda *z: steady(both, *z), (x, y))
    assert set(inside) == {1}


def test_what_is_not_asked_is_not_differentiated():
    """Else 0 times the infinite slope of a root would be NaN."""
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    y = torch.zeros((), dtype=torch.float64, requires_grad=True)
    first, second = steady(both, x, y)
    assert torch.autograd.grad(first, y, retain_graph=True)[0] == 5.0
    assert torch.autograd.grad(second, x, allow_unused=True)[0] is None


def test_without_gradients_there_is_no_node():
    x = torch.ones(3)
    (made,) = steady(lambda x: [x * 2], x)
    assert not made.requires_grad
    with torch.no_grad():
        assert not steady(lambda x: [x * 2], x.requires_grad_())[0].requires_grad
    z = torch.ones(3)
    slope = torch.func.jvp(lambda z: steady(lambda z: [z * z], z)[0], (z,), (z,))[1]
    assert slope.tolist() == [2.0, 2.0, 2.0]
    assert torch.func.grad(lambda z: steady(lambda z: [z @ z], z)[0])(z).tolist() == [2.0] * 3


def test_a_value_that_is_spread_has_derivatives():
    x = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    weight = torch.linspace(0, 1, 5000, dtype=torch.float64)

    def function(x):
        return (spread(x, 5000) ** 2 * weight).sum()

    assert torch.autograd.gradcheck(function, (x,))
    assert torch.autograd.gradgradcheck(function, (x,))
