"""Damaged files, full disks, and what is no file: one line, nothing lost, nothing read in silence.

Every input is made with a seed: about a thousand, in less than a minute.
"""

from __future__ import annotations

import gzip
import os
import socket
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from astropy.io import fits

from helpers import damage, own_files, tables_on_disk, typed_tables
from helpers.resealed import changed
from pysoftcorr.cli.messages import spoken
from pysoftcorr.core import memory
from pysoftcorr.core.sealed import check_hdf5, seal_hdf5
from pysoftcorr.core.streams import hdf5_file
from pysoftcorr.core.tables import open_table, opening
from pysoftcorr.mocks.galaxies import GalaxyCatalog
from pysoftcorr.mocks.halos import HaloCatalog
from pysoftcorr.sky.catalog import Catalog

FLIPS, OTHERS = 20, 150


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What is doubtful in damaged files is said in warnings, which are not looked at here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def refused(reads: Callable[[Path], Any], path: Path) -> str | None:
    """The message of a file that is refused, in one line with its name; None where it is read."""
    try:
        reads(path)
    except (ValueError, TypeError, OSError) as error:
        said = str(error)
        assert path.name in said, said
        assert "\n" not in said, said
        return said
    return None


# ---------------------------------------------------------------------- files of the package
def outcome(name: str, path: Path) -> tuple[str | None, Any]:
    """The message of a file of a kind, or what is read of it."""
    got: list[Any] = [None]
    return refused(lambda p: got.append(own_files.read(name, p)), path), got[-1]


@pytest.mark.parametrize("name", own_files.KINDS)
def test_one_changed_byte_is_found(tmp_path: Path, name: str) -> None:
    path = own_files.written(name, tmp_path)
    whole = own_files.read(name, path)
    assert own_files.read(name, path) == whole
    data = path.read_bytes()
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    found = 0
    for _ in range(FLIPS):
        path.write_bytes(damage.one_byte(data, rng))
        said, got = outcome(name, path)
        assert said or got == whole  # such as in what fills up a header
        found += said is not None
    # Of HDF5 every byte counts; of FITS not the blanks behind its headers.
    assert found == FLIPS or (found > FLIPS // 4 and ".h5" not in name and ".nc" not in name)


@pytest.mark.parametrize("name", own_files.KINDS)
def test_a_file_cut_short_or_joined_with_another(tmp_path: Path, name: str) -> None:
    path = own_files.written(name, tmp_path)
    whole, data = own_files.read(name, path), path.read_bytes()
    for cut in (0, 1, len(data) // 3, len(data) - 1):
        path.write_bytes(data[:cut])
        assert cut == len(data) - 1 or outcome(name, path)[0]
    path.write_bytes(data + b"\0" * 100 + data)
    said, got = outcome(name, path)
    assert said or got == whole


@pytest.mark.parametrize("dataset", ["mass", "position", "b_to_a", "subhalos/host"])
def test_the_dataset_is_named(tmp_path: Path, dataset: str) -> None:
    path = own_files.written("halos.h5", tmp_path)
    with h5py.File(path) as file:
        place = file[dataset].id.get_offset()
    data = bytearray(path.read_bytes())
    data[place + 7] ^= 16
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"halos.h5 is damaged: dataset {dataset}: the checksum"):
        HaloCatalog.read(path)


def test_column_of_fits_and_member_of_a_result_are_named(tmp_path: Path) -> None:
    path = own_files.written("galaxies.fits", tmp_path)
    data = bytearray(path.read_bytes())
    with fits.open(path) as hdus:
        data[hdus["GALAXIES"].fileinfo()["datLoc"] + 50] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is damaged: HDU 1 GALAXIES: its checksum is not"):
        GalaxyCatalog.read(path)
    path = own_files.written("result.ecsv", tmp_path)
    line = path.read_text().rstrip().rpartition("\n")
    cells = line[2].split(" ")
    cells[3] = str(float(cells[3]) * 2 + 1)
    path.write_text(line[0] + "\n" + " ".join(cells) + "\n")
    with pytest.raises(ValueError, match=r"is damaged: rho1, \w+: its checksum is not"):
        own_files.read("result.ecsv", path)


@pytest.mark.parametrize(
    "name",
    [n for n in own_files.KINDS if n.endswith((".h5", ".nc")) and not n.startswith("treecorr")],
)
def test_records_that_say_something_else(tmp_path: Path, name: str) -> None:
    """JSON and texts of a file whose checksums are right: refused with its name, or read."""
    path = own_files.written(name, tmp_path)
    data, records = path.read_bytes(), []

    def gather(place: str, item: h5py.Group | h5py.Dataset) -> None:
        records.extend((place, a) for a, v in item.attrs.items() if isinstance(v, (str, bytes)))
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "O" and not item.shape:
            records.append((place, None))

    with h5py.File(path) as file:
        gather("/", file)
        file.visititems(gather)
    assert records
    texts = ("", "{", "[]", "null", "3", '"x"', '{"a": 1}', "NaN", 3.0)
    for k, (place, attribute) in enumerate(records):
        # Of a posterior, with its hundred records, one for each.
        for text in texts[k % 9 :: 9] if len(records) > 30 else texts:
            path.write_bytes(data)
            with changed(path) as file:
                if attribute is None:
                    del file[place]
                    file[place] = text
                else:
                    del file[place].attrs[attribute]
                    file[place].attrs[attribute] = text
            refused(lambda p: own_files.read(name, p), path)


def test_checksums_of_chunks_and_of_files_sealed_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with hdf5_file(path) as file:
        file.create_dataset("packed", data=np.arange(4000.0), chunks=(500,), compression="gzip")
        file["scalar"], file["text"] = 3.0, "some text"
        file.create_dataset("empty", (0, 3))
    assert check_hdf5(path) is None
    seal_hdf5(path, "mine")
    sealed = path.read_bytes()
    seal_hdf5(path, "mine")
    assert path.read_bytes() == sealed
    assert check_hdf5(path) == "mine"
    with h5py.File(path) as file:  # no other program minds
        np.testing.assert_array_equal(file["packed"], np.arange(4000.0))
        place = file["packed"].id.get_chunk_info(3).byte_offset
    data = bytearray(sealed)
    data[place + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="dataset packed: the checksum"):
        check_hdf5(path)


# ---------------------------------------------------------------------- catalogs of others
def every_column(path: Path) -> None:
    with open_table(path) as table:
        for name in table.names:
            table.column(name)


def galaxies(path: Path) -> GalaxyCatalog:
    if GalaxyCatalog.is_own(path):
        return GalaxyCatalog.read(path)
    return GalaxyCatalog.from_table(path, boxsize=75.0)


READERS = {
    "table": every_column, "sky": Catalog.read, "halos": HaloCatalog.read, "galaxies": galaxies
}  # fmt: skip


@pytest.fixture(scope="module")
def catalogs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    pytest.importorskip("pyarrow")
    pytest.importorskip("pandas")
    folder, found = tmp_path_factory.mktemp("catalogs"), {}
    for name, write in typed_tables.WRITERS.items():
        write(folder / name)
        if (folder / name).is_file():
            found[name] = (folder / name).read_bytes()
    for name in ("group.h5", "root.h5", "astropy.hdf5", "compound.hdf5", "s.npy", "s.fits.gz"):
        found[name] = tables_on_disk.write(folder / name, tables_on_disk.columns()).read_bytes()
    return found | {name: make() for name, make in damage.HALOS.items()}


@pytest.mark.parametrize("reader", READERS)
def test_damaged_catalogs(tmp_path: Path, catalogs: dict[str, bytes], reader: str) -> None:
    rng = np.random.default_rng(zlib.crc32(reader.encode()))
    names = sorted(catalogs) + 8 * sorted(damage.HALOS) * (reader == "halos")
    said = 0
    for _ in range(OTHERS):
        name = names[int(rng.integers(len(names)))]
        path = tmp_path / name
        path.write_bytes(damage.damaged(catalogs[name], rng))
        said += refused(READERS[reader], path) is not None
    assert said > OTHERS // 4


@pytest.mark.parametrize("kind", ["loop", "groups", "soft", "outside", "itself"])
@pytest.mark.parametrize("reader", READERS)
def test_links_of_hdf5(tmp_path: Path, kind: str, reader: str) -> None:
    path = damage.links(tmp_path / "links.h5", kind)
    said = refused(READERS[reader], path)
    if kind == "loop":
        assert "links.h5 cannot be read as HDF5" in str(said)
        return
    if reader == "table":
        assert said is None  # the columns that are there
    with pytest.raises(ValueError, match=r"w.*links\.h5|links\.h5.*w"):
        Catalog.read(path, columns={"w": "w"})


@pytest.mark.parametrize("what", ["pipe", "socket", "device", "folder"])
def test_what_is_no_file_is_not_opened(tmp_path: Path, what: str) -> None:
    """A pipe without a writer would be waited for."""
    names = [*own_files.KINDS, "a.fits", "a.csv"]
    place = tmp_path
    for name in names:
        path = place / name
        if what == "pipe":
            os.mkfifo(path)
        elif what == "folder":
            path.mkdir()
        elif what == "device":
            path.symlink_to("/dev/zero")
        else:
            os.chdir(place)
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(name)
        if name in own_files.KINDS:
            if name == "posterior.nc":
                pytest.importorskip("arviz")
            readers = [own_files.KINDS[name][1]]
        else:
            readers = list(READERS.values())
        for reads in readers:
            said = refused(reads, path)
            assert said is not None
            assert f"is a {what}" in said


# ---------------------------------------------------------------------- memory
def sparse(path: Path, rows: int) -> Path:
    """A catalog of many rows that takes no room on the disk."""
    if path.suffix == ".fits":
        columns = [fits.Column(name=n, format="D", array=np.zeros(1)) for n in ("ra", "dec")]
        table = fits.BinTableHDU.from_columns(columns)
        table.header["NAXIS2"] = rows
        head = (fits.PrimaryHDU().header.tostring() + table.header.tostring()).encode()
        path.write_bytes(head)
        os.truncate(path, len(head) + -(-16 * rows // 2880) * 2880)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name in ("ra", "dec"):
                file.create_dataset(name, (rows,), "f8", chunks=(10**6,))
    elif path.suffix == ".npy":
        with open(path, "wb") as stream:
            dtype = [("ra", "<f8"), ("dec", "<f8")]
            header = {"descr": dtype, "fortran_order": False, "shape": (rows,)}
            np.lib.format.write_array_header_1_0(stream, header)
            stream.truncate(stream.tell() + 16 * rows)
    else:
        path.write_bytes(b"ra,dec\n")
        os.truncate(path, 4 * rows)
    return path


@pytest.mark.parametrize("suffix", [".fits", ".h5", ".npy", ".csv"])
@pytest.mark.parametrize("reader", ["sky", "halos", "table"])
def test_more_than_there_is_memory_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, reader: str
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 1e9)
    said = refused(READERS[reader], sparse(tmp_path / f"large{suffix}", 300_000_000))
    assert said is not None
    assert "must fit into memory; it would take " in said
    assert "1 GB are free" in said


def test_a_packed_file_that_swells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 7e7)
    path = tmp_path / "b.csv.gz"
    path.write_bytes(gzip.compress(b"ra,dec\n" + b"0,0\n" * 25_000_000, 1))
    assert "its unpacked content: must fit into memory" in str(refused(Catalog.read, path))


def test_much_memory_is_said_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_MUCH", 1e6)
    path = sparse(tmp_path / "large.fits", 100_000)
    with (
        pytest.warns(UserWarning, match=r"100,000 rows: each column takes 1.6 MB of memory"),
        open_table(path),
    ):
        pass


# ---------------------------------------------------------------------- full disks
_FULL = """
import os, resource, sys, tempfile, warnings
from pathlib import Path
from helpers import own_files

warnings.simplefilter("ignore")
folder = Path(tempfile.mkdtemp())
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for name in own_files.KINDS:
    path = own_files.written(name, folder)
    before = path.read_bytes()
    for part in (0, 0.3, 0.95):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(part * len(before)), hard))
        try:
            own_files.KINDS[name][0](path)
            said = "nothing"
        except OSError as error:
            said = f"{error.filename}: {error.strerror}"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert said.startswith(f"{path}: cannot write (File too large); "), (name, part, said)
        assert path.read_bytes() == before, (name, part)
        assert os.listdir(folder) == [name], (name, part)
    path.unlink()
print("all")
"""


def test_a_full_disk_is_one_error(fresh: Callable[..., Any]) -> None:
    """In a process of its own, which would end with a segmentation fault."""
    for package in ("torch", "arviz", "sacc"):
        pytest.importorskip(package)
    tests = str(Path(__file__).resolve().parents[1])
    assert fresh(_FULL, PYTHONPATH=tests).stdout.strip() == "all"


def test_full_standard_output_is_named() -> None:
    assert spoken(OSError(28, "No space left on device")) == (
        "cannot write the output (No space left on device)"
    )


# ---------------------------------------------------------------------- home folders
_HOME = """
import warnings
from pathlib import Path
import sys
from helpers import own_files

warnings.simplefilter("ignore")
folder = Path(sys.argv[0]).parent
made = own_files._posterior()
made.write(folder / "p.nc")
assert own_files.read("posterior.nc", folder / "p.nc")
made.plot_corner()
print("all")
"""


@pytest.mark.parametrize("home", ["/dev/null", "here", None])
def test_a_home_that_cannot_be_written(
    fresh: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    for package in ("torch", "arviz", "corner"):
        pytest.importorskip(package)
    for name in ("HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    env = {} if home is None else {"HOME": home}
    tests = str(Path(__file__).resolve().parents[1])
    done = fresh(_HOME, folder=tmp_path, PYTHONPATH=tests, MPLBACKEND="agg", **env)
    assert done.stdout.strip().endswith("all")
    assert "atplotlib" not in done.stderr
