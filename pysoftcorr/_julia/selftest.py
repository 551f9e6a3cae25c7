"""Test of a runtime in a process of its own: does it survive exceptions on two threads?

With a system image also: are the entry points those that the Python package knows, and do they
give right numbers?
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np

from pysoftcorr._julia import entries, runtime
from pysoftcorr._julia.errors import JuliaError
from pysoftcorr._julia.found import Found
from pysoftcorr._julia.hosts import LibjuliaHost
from pysoftcorr._julia.image import Choice


def check_image(host: LibjuliaHost, path: str) -> None:
    """Test a system image beyond what every runtime must do."""
    if host.image != path:
        sys.exit("the image was not used")
    if not host.holds_sources:
        sys.exit("the image does not hold the sources")
    started = runtime.start()
    text = started.owner.run(lambda: host.text("unsafe_string(Base.JLOptions().image_file)"))
    if text != path:
        sys.exit(f"Julia has started with {text}")
    if entries.parse_table(started.owner.run(host.entry_table))[1] != entries.ENTRIES:
        sys.exit("the entry points differ")
    try:
        runtime.call("throw_in_loop", 100)
    except JuliaError as error:
        if "element 100 of a threaded loop" not in str(error):
            sys.exit(f"a wrong error text: {error}")
    else:
        sys.exit("an error was lost")
    check_kernel()


def check_kernel() -> None:
    """Greedy labels of random memberships."""
    u = np.random.default_rng(1).random((50, 4))
    labels = np.empty(len(u), dtype=np.int64)
    runtime.call("assign_greedy", u, u.shape[1], len(u), labels)
    if not np.array_equal(labels - 1, u.argmax(axis=1)):
        sys.exit("a kernel gives wrong numbers")
    # Pairs of four points on a great circle, one degree apart.
    angle = np.radians(np.arange(4.0))
    xyz = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    edges = 4 * np.sin(np.radians([0.5, 1.5, 2.5, 3.5]) / 2) ** 2
    objects = (xyz, np.ones(4), np.empty((4, 0)), 4, 1, 1)
    out = np.empty((4, 4))  # coincident pairs in the last row
    runtime.call("pair_sums_of", 1, 1, 1, 1, *objects, *objects, edges, 3, out)
    pairs = np.array([3.0, 2.0, 1.0])
    theta = np.radians([1, 2, 3]) * pairs
    if not np.allclose(out[:3, :3], np.stack([pairs, pairs, theta], axis=1)):
        sys.exit("the pair sums are wrong")


def main() -> None:
    """Start the runtime described in the environment and test it."""
    told = json.loads(os.environ["PYSOFTCORR_JULIA_SELFTEST"])
    image = told["image"]
    host = LibjuliaHost(Found(**told["found"]), 2, Choice(image))
    runtime.start_with(host)
    if not runtime.self_test():
        sys.exit("exceptions were lost")
    if image is not None:
        check_image(host, image)
    print("ok", flush=True)


if __name__ == "__main__":
    main()
