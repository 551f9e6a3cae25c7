"""Libraries of a private runtime are loaded before those that need them."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from pysoftcorr._julia import settings
from pysoftcorr._julia.libjulia_host import PRELOAD


@pytest.mark.parametrize("name", PRELOAD)
def test_what_a_library_needs_is_loaded_first(name: str) -> None:
    folder = settings.default_prefix() / "usr" / "lib" / "x86_64-linux-gnu"
    if not (folder / name).exists() or shutil.which("readelf") is None:
        pytest.skip("no private runtime here, or no readelf")
    said = subprocess.run(["readelf", "-d", folder / name], capture_output=True, text=True)
    needed = re.findall(r"NEEDED.*\[(.*)\]", said.stdout)
    own = {one for one in needed if (folder / one).exists()}
    # A system may lack them, or have newer ones.
    assert own <= set(PRELOAD[: PRELOAD.index(name)]), own
