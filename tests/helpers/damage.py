"""Damage done to files, with a seed."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np


def one_byte(data: bytes, rng: np.random.Generator) -> bytes:
    """The data with one byte changed."""
    changed = bytearray(data)
    changed[rng.integers(len(changed))] ^= int(rng.integers(1, 256))
    return bytes(changed)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """The data with bytes changed, lost, filled with zeros or noise, or cut off."""
    kind, start = int(rng.integers(6)), int(rng.integers(len(data)))
    length = int(rng.integers(1, 200))
    if kind == 0:
        for _ in range(int(rng.integers(1, 4))):
            data = one_byte(data, rng)
        return data
    if kind == 1:
        return data[:start]
    if kind == 2:
        return data[:start] + data[start + length :]
    if kind == 3:
        return data[:start] + bytes(len(data[start : start + length])) + data[start + length :]
    if kind == 4:
        noise = rng.integers(0, 256, length).astype(np.uint8).tobytes()
        return data[:start] + noise + data[start + length :]
    head = bytearray(data)  # where the headers are
    head[int(rng.integers(min(600, len(head))))] ^= 1 << int(rng.integers(8))
    return bytes(head)


# ---------------------------------------------------------------------- catalogs of halos
_N = 12


def _halos() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    mass = np.logspace(11.5, 14.5, _N)
    radius = (mass / 1e12) ** (1 / 3) * 0.2
    return {"position": rng.random((_N, 3)) * 75, "mass": mass, "radius": radius}


def _rockstar() -> bytes:
    h = _halos()
    lines = [
        "#id num_p mvir rvir rs x y z pid A[x] A[y] A[z]",
        "#a = 1.000000", "#Om = 0.308900; Ol = 0.691100; h = 0.677400",
        "#Box size: 75.000000 Mpc/h", "#Units: Masses in Msun / h", "#Units: Radii in kpc / h",
    ]  # fmt: skip
    for i in range(_N):
        x, y, z = h["position"][i]
        r = 1000 * h["radius"][i]
        lines.append(f"{i} 99 {h['mass'][i]:.6e} {r:.4f} {r / 8:.4f} {x} {y} {z} -1 0.1 0.2 0.9")
    return "\n".join(lines).encode() + b"\n"


def _subfind() -> bytes:
    h, made = _halos(), io.BytesIO()
    with h5py.File(made, "w") as file:
        file.create_group("Header").attrs.update({
            "BoxSize": 75000.0, "Redshift": 0.0, "Omega0": 0.3089, "OmegaLambda": 0.6911,
            "HubbleParam": 0.6774, "NumFiles": 1, "Ngroups_ThisFile": _N, "Ngroups_Total": _N,
        })  # fmt: skip
        file["Group/GroupPos"] = 1000 * h["position"].astype(np.float32)
        file["Group/Group_M_TopHat200"] = h["mass"] / 1e10
        file["Group/Group_R_TopHat200"] = 1000 * h["radius"]
        file["Subhalo/SubhaloPos"] = 1000 * h["position"].astype(np.float32)
        file["Subhalo/SubhaloGrNr"] = np.arange(_N)
    return made.getvalue()


def _npz(packed: bool) -> Callable[[], bytes]:
    def make() -> bytes:
        h, made = _halos(), io.BytesIO()
        columns = {**dict(zip("xyz", h["position"].T, strict=True)), "mvir": h["mass"]}
        (np.savez_compressed if packed else np.savez)(
            made, **columns, ra=h["mass"] % 90, dec=h["mass"] % 80
        )
        return made.getvalue()

    return make


#: Files of halos by name: what makes their content.
HALOS: dict[str, Callable[[], bytes]] = {
    "out.list": _rockstar,
    "out.list.gz": lambda: gzip.compress(_rockstar(), mtime=0),
    "fof_subhalo_tab_099.0.hdf5": _subfind,
    "plain.npz": _npz(False),
    "packed.npz": _npz(True),
}


def links(path: Path, kind: str) -> Path:
    """An HDF5 table with a column that leads nowhere, or in a circle."""
    with h5py.File(path, "w") as file:
        file["ra"], file["dec"] = np.arange(5.0), np.arange(5.0)
        if kind == "loop":
            file["g"], file["w"] = h5py.SoftLink("/w"), h5py.SoftLink("/g")
        elif kind == "groups":
            file.create_group("w/b")
            file["w/b/c"] = file["w"]
        elif kind == "soft":
            file["w"] = h5py.SoftLink("/nowhere")
        elif kind == "outside":
            file["w"] = h5py.ExternalLink("nowhere.h5", "/w")
        elif kind == "itself":
            file["w"] = h5py.ExternalLink(path.name, "/w")
    return path
