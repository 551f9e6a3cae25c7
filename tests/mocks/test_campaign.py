"""Campaigns: what a row is, that workers and kills change nothing, what is refused and kept."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pysoftcorr
from helpers.dask_workers import end, environment, start_scheduler, start_workers, until
from pysoftcorr.cli import main
from pysoftcorr.mocks import (
    Campaign,
    HaloCatalog,
    HODModel,
    box_correlations,
    expected_correlations,
    run_campaign,
    training_design,
)
from pysoftcorr.mocks.alignment import order_parameter
from pysoftcorr.mocks.campaign.journal import Journal, journal_path
from pysoftcorr.mocks.campaign.rows import Plan, measure_row, row_seeds
from pysoftcorr.mocks.hod import PARAMETERS

EDGES = np.geomspace(0.3, 9.0, 5)
POINTS, REALIZATIONS, SEED = 24, 2, 3
SAME = {"points": POINTS, "realizations": REALIZATIONS, "seed": SEED, "bins": EDGES}

SCRIPT = """
import sys
import numpy as np
from pysoftcorr.mocks import HaloCatalog, run_campaign
if __name__ == "__main__":
    halos, out, scheduler = sys.argv[1:4]
    run_campaign(halos, points=24, realizations=2, seed=3, bins=np.geomspace(0.3, 9.0, 5),
                 out=out, scheduler=scheduler)
"""


@pytest.fixture(scope="module")
def halos() -> HaloCatalog:
    return HaloCatalog.simulate(40.0, 32, mmin=3e11, seed=1)


@pytest.fixture(scope="module")
def halo_file(halos: HaloCatalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("halos") / "halos.h5"
    halos.write(path)
    return path


def _size(journal: Path) -> int:
    try:
        return journal.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.fixture(scope="module")
def finished(
    halos: HaloCatalog, scheduler: str, tmp_path_factory: pytest.TempPathFactory
) -> Campaign:
    """A campaign that nothing interrupted, by two workers of a scheduler."""
    out = tmp_path_factory.mktemp("campaign") / "whole.h5"
    return run_campaign(halos, **SAME, out=out, scheduler=scheduler)


def test_rows_are_what_the_parts_give_alone(halos: HaloCatalog, finished: Campaign) -> None:
    np.testing.assert_array_equal(finished.parameters, training_design(POINTS, seed=SEED))
    seeds = [row_seeds(SEED, row, REALIZATIONS) for row in range(POINTS)]
    np.testing.assert_array_equal(finished.seed, seeds)
    assert len(np.unique(finished.seed)) == POINTS * REALIZATIONS
    made = 0
    for row in range(0, POINTS, 3):
        model = HODModel(**dict(zip(PARAMETERS, finished.parameters[row], strict=True)))
        for k in range(REALIZATIONS):
            if finished.n_central[row, k] + finished.n_satellite[row, k] == 0:
                continue
            galaxies = model.populate(halos, seed=int(seeds[row][k]))
            assert galaxies.central.sum() == finished.n_central[row, k]
            found = box_correlations(galaxies, bins=EDGES)
            mean = expected_correlations(galaxies, model.mu_cen, model.mu_sat, bins=EDGES)
            # Summed in another order: the last bits differ.
            for name in ("xi", "omega", "eta"):
                np.testing.assert_allclose(
                    getattr(finished, name)[row, k], getattr(found, name), rtol=1e-12, atol=1e-14
                )
            for name in ("omega", "eta"):
                expected = getattr(finished, f"expected_{name}")[row, k]
                np.testing.assert_allclose(expected, getattr(mean, name), rtol=1e-12, atol=1e-14)
            np.testing.assert_array_equal(finished.npairs[row, k], found.npairs)
            made += 1
    assert made >= 6


@pytest.mark.parametrize("satellites", ["triaxial", "subhalos"])
def test_a_row_puts_satellites_where_the_plan_says(satellites: str) -> None:
    halos = HaloCatalog.simulate(40.0, 16, mmin=3e11, seed=1, subhalos=True)
    point = np.array([0.7, 0.4, 12.0, 0.3, 12.0, 12.8, 1.0])
    plan = Plan(SEED, 1, EDGES, np.full(4, np.inf), satellites=satellites)
    record = measure_row(halos, plan, 5, point)
    model = HODModel(**dict(zip(PARAMETERS, point, strict=True)), satellites=satellites)
    galaxies = model.populate(halos, seed=int(row_seeds(SEED, 5, 1)[0]))
    mean = expected_correlations(galaxies, 0.7, 0.4, bins=EDGES)
    a, b = (record["response"][0, k] for k in (0, 1))
    order = [order_parameter(mu) for mu in (0.7, 0.4)]
    np.testing.assert_allclose(order[0] * a + order[1] * b, mean.omega, rtol=1e-12)
    other = measure_row(halos, Plan(SEED, 1, EDGES, np.full(4, np.inf)), 5, point)
    assert other["n_satellite"] == record["n_satellite"]
    assert (other["npairs"] != record["npairs"]).any()


def test_a_campaign_records_where_satellites_live(scheduler: str, tmp_path: Path) -> None:
    halos = HaloCatalog.simulate(40.0, 16, mmin=3e11, seed=1, subhalos=True, subhalo_mmin=2e11)
    options = {**SAME, "points": 2, "satellites": "subhalos", "scheduler": scheduler}
    with pytest.warns(UserWarning, match="the worst of 2 points.*no subhalo left"):
        made = run_campaign(halos, **options, out=tmp_path / "a.h5")
    assert Campaign.read(made.path).settings["satellites"] == "subhalos"
    other = HaloCatalog.simulate(40.0, 16, mmin=3e11, seed=1, subhalos=True, subhalo_mmin=3e11)
    other.meta = halos.meta
    with pytest.raises(FileExistsError, match=re.escape("halos: fingerprint = ")):
        run_campaign(other, **options, out=tmp_path / "a.h5")


def test_every_dropped_row_has_its_reason(finished: Campaign) -> None:
    most = 100 * finished.xi_matter
    for row in range(POINTS):
        galaxies = finished.n_central[row] + finished.n_satellite[row]
        empty = (finished.npairs[row] == 0).any(axis=1)
        above = (finished.xi[row] > most).any(axis=1)
        expected = np.where(galaxies == 0, 1, np.where(empty, 2, np.where(above, 3, 0)))
        np.testing.assert_array_equal(finished.status[row], expected)
        assert finished.kept[row] == (not expected.any())
        assert bool(finished.reason[row]) != finished.kept[row]
        for code, words in ((1, "no galaxies in"), (2, "empty bins in"), (3, "xi above the limit")):
            assert (words in finished.reason[row]) == (code in expected)
    assert {0, 1, 2} <= set(finished.status.ravel().tolist())
    assert 0 < finished.kept.sum() < POINTS
    assert finished.to_dict()["dropped"] == int((~finished.kept).sum())
    assert finished.settings["cosmology"]["name"] == "planck18"
    assert finished.settings["halos"]["boxsize"] == 40.0
    assert finished.settings["version"] == pysoftcorr.__version__


def test_xi_above_the_limit_and_too_many_galaxies_are_said(halos: HaloCatalog) -> None:
    from pysoftcorr.mocks.campaign.rows import Plan, measure_row

    plan = Plan(1, 2, EDGES, np.array([np.inf, 1e-3, np.inf, np.inf]))
    point = np.array([0.5, 0.5, 11.6, 0.3, 11.6, 12.6, 1.0])
    record = measure_row(halos, plan, 5, point)
    assert record["status"].tolist() == [3, 3]
    assert not record["kept"]
    text = record["reason"].item().decode()
    assert re.match(r"xi above the limit in 2 of 2 \(xi = \S+ at 0.702 to 1.64 Mpc/h, above", text)
    crowded = measure_row(halos, plan, 5, np.array([0.5, 0.5, 11.6, 0.3, 8.0, 9.0, 1.4]))
    assert crowded["status"].tolist() == [4, 4]
    assert b"too many galaxies in 2 of 2" in crowded["reason"].item()
    assert np.isnan(crowded["measured"]).all()


def test_kills_at_any_moment_lose_and_double_nothing(
    halo_file: Path, scheduler: str, finished: Campaign, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    out = tmp_path / "killed.h5"
    journal = journal_path(out)
    rng = np.random.default_rng(SEED)
    sizes = [0]
    for _ in range(3):
        command = [sys.executable, str(script), str(halo_file), str(out), scheduler]
        process = subprocess.Popen(command, env=environment())
        try:
            until(lambda: _size(journal) > max(sizes[-1], 2500) or out.exists(), 90)
            time.sleep(rng.uniform(0, 0.05))
        finally:
            process.kill()
            process.wait()
        if out.exists():
            break
        sizes.append(journal.stat().st_size)
    assert len(sizes) > 1, "it was never killed before it was finished"
    assert sorted(sizes) == sizes  # what was finished stayed
    halos = HaloCatalog.read(halo_file)
    run_campaign(halos, **SAME, out=out, scheduler=scheduler)
    assert out.read_bytes() == finished.path.read_bytes()
    assert not journal.exists()


def test_local_processes_make_the_same_file(
    halo_file: Path, finished: Campaign, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "local.h5"
    arguments = ["campaign", halo_file, "--points", POINTS, "--realizations", REALIZATIONS]
    arguments += ["--seed", SEED, "--bins", "log:0.3:9:4", "--workers", 1, "--out", out, "--json"]
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    said = capsys.readouterr()
    assert left.value.code == 0, said.err
    assert json.loads(said.out)["kept"] == int(finished.kept.sum())
    # No progress bar but on a terminal; some points reach below the lightest halo.
    light, wrote = said.err.splitlines()
    assert "the lightest of the catalog" in light
    assert wrote == f"wrote {out}"
    made = Campaign.read(out)
    np.testing.assert_allclose(made.edges, finished.edges, rtol=1e-14)
    np.testing.assert_array_equal(made.seed, finished.seed)
    np.testing.assert_allclose(made.eta, finished.eta, rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------------- the journal
DTYPE = np.dtype([("row", "<i8"), ("value", "<f8", (2,))])


def _record(row: int) -> bytes:
    return np.array((row, [row + 0.5, -row]), DTYPE).tobytes()


def _filled(path: Path, rows: list[int]) -> None:
    with Journal(path, {"seed": 1}, DTYPE) as journal:
        for row in rows:
            journal.append(_record(row))


def test_a_journal_cut_at_any_byte_keeps_every_whole_row(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    _filled(path, [4, 0, 2])
    data = path.read_bytes()
    size = len(_record(0)) + 4
    start = len(data) - 3 * size
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        whole = max(0, (cut - start) // size)
        with Journal(path, {"seed": 1}, DTYPE) as journal:
            assert journal.done == set([4, 0, 2][:whole])
            for row in (7, 8):
                journal.append(_record(row))
            assert journal.records()["row"].tolist() == [*[4, 0, 2][:whole], 7, 8]
            assert journal.records()["value"][-1].tolist() == [8.5, -8.0]


def test_a_damaged_row_is_known_by_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    _filled(path, [0, 1, 2])
    data = bytearray(path.read_bytes())
    size = len(_record(0)) + 4
    data[len(data) - size + 10] ^= 1
    path.write_bytes(data)
    with Journal(path, {"seed": 1}, DTYPE) as journal:
        assert journal.done == {0, 1}


@pytest.mark.parametrize("seed", range(8))
def test_damaged_rows_are_done_again_and_the_others_kept(tmp_path: Path, seed: int) -> None:
    path, rng = tmp_path / "a.part", np.random.default_rng(seed)
    rows = [4, 0, 2, 7, 3, 1]
    _filled(path, rows)
    data = bytearray(path.read_bytes())
    size = len(_record(0)) + 4
    bad = sorted(rng.choice(5, int(rng.integers(1, 4)), replace=False))
    for k in bad:
        data[len(data) - (6 - k) * size + int(rng.integers(size))] ^= int(rng.integers(1, 256))
    path.write_bytes(data)
    for again in (False, True):
        whole = 6 + len(bad) * again
        with pytest.warns(UserWarning, match=rf"a\.part: .* of {whole} damaged on the disk; done"):
            journal = Journal(path, {"seed": 1}, DTYPE)
        with journal:
            assert journal.done == (set(rows) if again else set(rows) - {rows[k] for k in bad})
            for row in set(rows) - journal.done:
                journal.append(_record(row))
            found = journal.records()
            assert sorted(found["row"].tolist()) == sorted(rows)
            np.testing.assert_array_equal(found["value"][:, 0], found["row"] + 0.5)


def test_damaged_settings_of_a_journal_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    _filled(path, [0])
    data = path.read_bytes()
    path.write_bytes(data.replace(b'{"seed"', b'{"seed'))
    with pytest.raises(
        ValueError, match=r"a\.part is damaged: its settings cannot be read; pass o"
    ):
        Journal(path, {"seed": 1}, DTYPE)


def test_a_journal_is_for_one_process_and_one_row_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    with Journal(path, {"seed": 1}, DTYPE) as journal:
        journal.append(_record(3))
        with pytest.raises(ValueError, match=r"row 3 is in .* already"):
            journal.append(_record(3))
        with pytest.raises(BlockingIOError, match="another process"):
            Journal(path, {"seed": 1}, DTYPE)
    foreign = tmp_path / "b.part"
    foreign.write_text("something else\n")
    with pytest.raises(ValueError, match="no journal of a campaign"):
        Journal(foreign, {"seed": 1}, DTYPE)
    assert foreign.read_text() == "something else\n"


def test_a_full_disk_keeps_what_was_finished(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    _filled(path, [0, 1])
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with Journal(path, {"seed": 1}, DTYPE) as journal:
            # Half a record more, and no further.
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 15, limits[1]))
            with pytest.raises(OSError, match="finished rows are kept: make room"):
                journal.append(_record(2))
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            assert path.read_bytes() == before
            journal.append(_record(2))
            assert journal.done == {0, 1, 2}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


# ---------------------------------------------------------------------- what is refused
def _begun(halos: HaloCatalog, out: Path, scheduler: str) -> None:
    """A campaign of which the last row is not yet made."""
    from pysoftcorr.mocks.campaign import file as campaign_file

    whole = run_campaign(halos, **{**SAME, "points": 3}, out=out, scheduler=scheduler)
    del whole
    settings = campaign_file.read_campaign_settings(out)
    from pysoftcorr.mocks.campaign.rows import record_dtype

    Journal(journal_path(out), settings, record_dtype(REALIZATIONS, 4)).close()
    out.unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"points": 4}, "points = 4 here and 3 there"),
        ({"seed": 4}, "seed = 4 here and 3 there"),
        ({"sampling": "random"}, 'sampling = "random" here and "sobol" there'),
        ({"realizations": 3}, "realizations = 3 here and 2 there"),
        ({"modulate": True}, "modulate = true here and false there"),
        ({"satellites": "triaxial"}, 'satellites = "triaxial" here and "nfw" there'),
        ({"bins": np.geomspace(0.3, 8.0, 5)}, "edges = "),
        ({"cosmology": "WMAP9"}, "cosmology: "),
    ],
)
def test_other_settings_are_refused_by_name(
    halos: HaloCatalog, scheduler: str, tmp_path: Path, change: dict, words: str
) -> None:
    out = tmp_path / "a.h5"
    _begun(halos, out, scheduler)
    options = {**SAME, "points": 3, **change}
    before = journal_path(out).read_bytes()
    with pytest.raises(ValueError, match=re.escape(words)):
        run_campaign(halos, **options, out=out, scheduler=scheduler)
    assert journal_path(out).read_bytes() == before


def test_other_halos_are_refused_and_overwrite_restarts(
    halos: HaloCatalog, scheduler: str, tmp_path: Path
) -> None:
    out = tmp_path / "a.h5"
    _begun(halos, out, scheduler)
    fewer = halos[halos.mass > 4e11]
    with pytest.raises(ValueError, match=r"halos: number = \d+ here and \d+ there"):
        run_campaign(fewer, **{**SAME, "points": 3}, out=out, scheduler=scheduler)
    options = {**SAME, "points": 2, "overwrite": True}
    assert len(run_campaign(fewer, **options, out=out, scheduler=scheduler)) == 2
    with pytest.raises(FileExistsError, match="campaign of other settings: points = 3"):
        run_campaign(fewer, **{**SAME, "points": 3}, out=out, scheduler=scheduler)


def test_a_finished_campaign_is_there_at_once(halos: HaloCatalog, finished: Campaign) -> None:
    # Nothing listens at this address: nothing is asked of it.
    again = run_campaign(halos, **SAME, out=finished.path, scheduler="tcp://127.0.0.1:9")
    np.testing.assert_array_equal(again.xi, finished.xi)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"realizations": 0}, ValueError, "realizations = 0: must be at least 1"),
        ({"realizations": 10**6}, ValueError, "realizations = 1000000: must be at most 100,000"),
        ({"realizations": 1.5}, TypeError, "realizations = 1.5"),
        ({"points": [[1, 2]]}, ValueError, "points has shape .1, 2."),
        ({"points": [[2, 0, 12, 0.2, 12, 13, 1]]}, ValueError, "points, row 0: mu_cen = 2"),
        ({"workers": 0, "scheduler": None}, ValueError, "workers = 0"),
        ({"workers": 2}, ValueError, "workers and scheduler are both given"),
        ({"satellites": "sphere"}, ValueError, "satellites = 'sphere': must be one of nfw, tri"),
        ({"satellites": "subhalos"}, ValueError, "satellites = 'subhalos': .*subhalos=True"),
        ({"bins": [0.0, 1.0]}, ValueError, "begin above 0"),
        ({"bins": [1.0, 21.0]}, ValueError, "at most half"),
        ({"out": "a.fits"}, ValueError, "use .h5 or .hdf5"),
        ({"out": "missing/a.h5"}, FileNotFoundError, "no folder"),
        ({}, ConnectionError, "no dask scheduler answers at tcp://127.0.0.1:9"),
    ],
)
def test_bad_options_are_named(
    halos: HaloCatalog,
    tmp_path: Path,
    change: dict,
    kind: type[Exception],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pysoftcorr.core.farm import connection

    monkeypatch.setattr(connection, "_CONNECT_SECONDS", 0.5)
    options = {**SAME, "points": 2, "scheduler": "tcp://127.0.0.1:9", "out": "a.h5", **change}
    options["out"] = tmp_path / options["out"]
    with pytest.raises(kind, match=words):
        run_campaign(halos, **options)


def test_halos_without_a_cosmology_are_asked_for_it(halos: HaloCatalog, tmp_path: Path) -> None:
    columns = (halos.position, halos.mass, halos.radius, halos.concentration, halos.axis)
    plain = HaloCatalog(*columns, boxsize=halos.boxsize)
    with pytest.raises(ValueError, match="cosmology='planck18'"):
        run_campaign(plain, **SAME, out=tmp_path / "a.h5")


def test_not_enough_room_is_said_before_the_work(halos: HaloCatalog, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"the campaign needs .* GB"):
        run_campaign(halos, points=200_000, realizations=100_000, bins=EDGES, out=tmp_path / "a.h5")


# ---------------------------------------------------------------------- ends before its time
def test_a_scheduler_that_goes_away_is_an_error_and_rows_are_kept(
    halo_file: Path, halos: HaloCatalog, finished: Campaign, scheduler: str, tmp_path: Path
) -> None:
    process, address = start_scheduler(tmp_path)
    workers = start_workers(address, 1, tmp_path)
    out = tmp_path / "a.h5"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(halo_file), str(out), address]
    campaign = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: _size(journal_path(out)) > 2500, 90)
        process.kill()
        _, errors = campaign.communicate(timeout=30)
    finally:
        for each in (campaign, process, workers):
            end(each)
    assert errors.splitlines()[-1].startswith("ConnectionError: the dask scheduler went away")
    assert journal_path(out).stat().st_size > 2500
    run_campaign(halos, **SAME, out=out, scheduler=scheduler)
    assert out.read_bytes() == finished.path.read_bytes()


@pytest.mark.slow
def test_ctrl_c_ends_within_seconds_and_says_what_is_kept(halo_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.h5"
    command = [sys.executable, "-m", "pysoftcorr.cli", "campaign", str(halo_file), "--out"]
    command += [str(out), "--points", "5000", "--realizations", "2", "--workers", "2"]
    command += ["--bins", "log:0.3:9:4"]
    # A session of its own, so that the signal reaches every process, as a terminal's does.
    campaign = subprocess.Popen(
        command, env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        until(lambda: _size(journal_path(out)) > 9000 or campaign.poll() is not None, 90)
        os.killpg(campaign.pid, signal.SIGINT)
        _, errors = campaign.communicate(timeout=30)
    finally:
        end(campaign)
    assert campaign.returncode == 130, errors
    assert re.fullmatch(
        r"(warning: --points: halos below .*\n)?interrupted: \d+ of 5000 rows are kept in "
        r".*a.h5.part: give the same command again to resume\n",
        errors,
    ), errors
