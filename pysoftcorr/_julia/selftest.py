"""Run in a process of its own: does this runtime survive exceptions on two threads?"""

from __future__ import annotations

import json
import os
import sys

from pysoftcorr._julia import runtime
from pysoftcorr._julia.found import Found
from pysoftcorr._julia.libjulia import LibjuliaHost


def main() -> None:
    """Start the runtime described in the environment and test it."""
    found = Found(**json.loads(os.environ["PYSOFTCORR_JULIA_SELFTEST"]))
    runtime.start_with(LibjuliaHost(found, threads=2))
    if not runtime.self_test():
        sys.exit("exceptions were lost")
    print("ok", flush=True)


if __name__ == "__main__":
    main()
