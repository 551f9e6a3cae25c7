"""Absurd settings files, JSON, forks, threads and memory of whole processes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from pysoftcorr._julia import found, install, settings
from pysoftcorr.core.documents import finite, json_text

YAML = {
    "deep": "bins: " + "[" * 3000,
    "closed": "bins: " + "[" * 300 + "]" * 300,
    "time": "seed: !!timestamp xx",
    "day": "seed: 2020-99-99",
    "bool": "quiet: !!bool maybe",
    "int": "seed: !!int ''",
    "float": "seed: !!float x",
    "set": "seed: !!set [1]",
    "merge": "<<: [1]",
    "bomb": "a0: &a0 [x, x]\n"
    + "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)),
    "itself": "bins: &a [*a, *a]",
    "list as name": "? [1, 2]\n: 3",
    "long integer": "seed: " + "9" * 5000,
    "hexadecimal": "seed: 0x" + "f" * 5000,
    "sexagesimal": "seed: " + ":".join(["59"] * 5000),
    "float of 400 digits": "fuzziness: " + "9" * 400,
    "clusters": "clusters: 1000000000000000000000000000000",
    "bins": "bins: linear:0:45:1e9",
    "resampling": "resampling: bootstrap:999999999999999999999999999999",
    "object": "seed: !!python/object/apply:os.system [x]",
}


@pytest.mark.parametrize("name", YAML)
def test_settings_files_that_are_none_are_one_line(name, tmp_path, fails):
    path = tmp_path / "set.yml"
    path.write_text(YAML[name])
    stars = tmp_path / "none.fits"
    line = fails("rho", stars, "--config", path)
    assert len(line) < 400 + len(str(path))
    assert "no such catalog" not in line
    assert "int_max_str_digits" not in line


def test_aliases_of_a_value_are_taken(tmp_path, fails):
    path = tmp_path / "set.yml"
    path.write_text("seed: &s 3\nclusters: *s\n")
    assert "no such catalog" in fails("rho", tmp_path / "none.fits", "--config", path)


def test_json_has_null_and_why():
    document = {
        "a": {"mu_cen": {"r_hat": math.nan, "sd": 1.0}},
        "b": [1.0, math.inf, (np.float64("nan"),)],
        "n": 3,
    }
    made = json.loads(json_text(document))
    assert made["a"]["mu_cen"] == {"r_hat": None, "sd": 1.0}
    assert made["b"] == [1.0, None, [None]]
    assert made["null_because"]["b.1"] == "infinite"
    assert "4 draws" in made["null_because"]["a.mu_cen.r_hat"]
    assert set(made["null_because"]) == {"a.mu_cen.r_hat", "b.1", "b.2.0"}
    assert "null_because" not in finite({"a": 1.0})


def test_the_second_installation_takes_what_the_first_installed(tmp_path, monkeypatch):
    import contextlib

    @contextlib.contextmanager
    def waited(path, log, what):
        yield True

    there = found.Found("julia", "1.5.3", "bin", "image", "lib", None)
    monkeypatch.setattr(install.apt, "require_tools", lambda: None)
    monkeypatch.setattr(install.apt, "mirrors", lambda: ["one"])
    monkeypatch.setattr(install, "locked", waited)
    monkeypatch.setattr(install.found, "tested", lambda place: there)
    monkeypatch.setattr(install.apt, "download", lambda *_: pytest.fail("downloaded again"))
    assert install._install_debian(tmp_path / "julia", lambda line: None)["method"] == "present"


def test_a_lock_says_whether_it_was_waited_for(tmp_path):
    import threading
    import time

    said = []
    with settings.locked(tmp_path / "lock", said.append, "installation") as first:
        assert first is False
        answers = []

        def second():
            with settings.locked(tmp_path / "lock", said.append, "installation") as waited:
                answers.append(waited)

        thread = threading.Thread(target=second)
        thread.start()
        while not said:
            time.sleep(0.01)
    thread.join()
    assert answers == [True]


FORK = """
import os, warnings
warnings.simplefilter("ignore")
import numpy as np, torch
from pysoftcorr.emulator import Emulator
from tests.helpers.analytic_emulator import HOD
torch.set_num_threads(2)
emulator = Emulator.untrained("response", bins=[0.1, 1, 4, 16], seed=1)
points = np.tile([[0.2, 0.1, *HOD.values()]], (3000, 1))
before = emulator.predict(points, passes=4).xi.mean
big = torch.randn(1500, 1500); big @ big  # the threads are there
child = os.fork()
if child == 0:
    same = bool(np.allclose(emulator.predict(points, passes=4).xi.mean, before, rtol=1e-5))
    os._exit(7 if same else 8)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_an_emulator_predicts_in_a_forked_process(fresh):
    pytest.importorskip("torch")
    assert fresh(FORK, timeout=120).stdout.split() == ["7"]


def test_last_bits_do_not_depend_on_threads(fresh):
    """Bits of products that torch and OpenBLAS split among threads along what is summed."""
    pytest.importorskip("pyro")
    code = "from tests.helpers import bits; bits.main()"
    one, three = (
        fresh(
            code, OMP_NUM_THREADS=n, OPENBLAS_NUM_THREADS=n, OMP_WAIT_POLICY="passive"
        ).stdout.splitlines()
        for n in ("1", "3")
    )
    assert len(one) > 45
    assert [line for line in one if line not in three] == []


LEAK = """
import warnings
warnings.simplefilter("ignore")
import gc, numpy as np
from pysoftcorr import emulator, inference
from pysoftcorr.mocks import HODModel
from pysoftcorr.inference.compiled import ValueAndGradient
model = emulator.Emulator.untrained("response", bins=[0.1, 1, 4, 16], seed=1)
observed = inference.Observation.unaligned(model.edges)
density = inference.LogPosterior(model, observed, fixed=HODModel.preset("mstar10.0"))
sizes = []
for k in range(13):
    made = ValueAndGradient(density.potential, 2, batch=2, probes=np.full((2, 2), 0.1))
    assert made.compiled
    del made
    gc.collect()
    sizes.append(int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6)
print(sizes[-1] - sizes[3])
"""


def test_graphs_of_posteriors_are_freed(fresh):
    """Nine of them kept would be more than 36 MB."""
    pytest.importorskip("torch")
    pytest.importorskip("pyro")
    assert float(fresh(LEAK).stdout) < 15


@pytest.mark.parametrize(
    ("name", "value"),
    [("workers", 10**30), ("workers", "3"), ("realizations", 10**30), ("realizations", 3.7),
     ("points", 10**30), ("points", np.nan), ("logMmin", (1e308, 10**400)), ("logMmin", "ab")],
)  # fmt: skip
def test_campaigns_refuse_absurd_counts_before_any_work(name, value, tmp_path):
    from pysoftcorr.mocks import HaloCatalog, run_campaign

    halos = HaloCatalog.simulate(50.0, 32, mmin=1e12, seed=1)
    given = {"points": 4, "realizations": 2, "seed": 1, "bins": "log:1:20:4", name: value}
    with pytest.raises((TypeError, ValueError), match=rf"\b{name} = "):
        run_campaign(halos, out=tmp_path / "c.h5", **given)
    assert list(tmp_path.iterdir()) == []
