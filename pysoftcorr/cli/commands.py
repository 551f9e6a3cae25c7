"""What the commands do; astropy, matplotlib and Julia are imported only once one runs."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pysoftcorr.cli import output
from pysoftcorr.cli.output import only_json, wrote
from pysoftcorr.cli.settings import resolve

if TYPE_CHECKING:
    from pysoftcorr.cli.estimate import Outcome


def rho(paths: list[str], given: Mapping[str, Any], *, config: str | None, as_json: bool) -> None:
    """Rho statistics of a PSF model, rho1 to rho5, with both errors."""
    _statistics("rho", paths, given, config, as_json)


def xi(paths: list[str], given: Mapping[str, Any], *, config: str | None, as_json: bool) -> None:
    """Shear-shear correlation functions xi+ and xi-, with both errors."""
    _statistics("xi", paths, given, config, as_json)


def gradient(
    paths: list[str], given: Mapping[str, Any], *, config: str | None, as_json: bool
) -> None:
    """xi of simulated galaxies and its exact derivative with respect to G."""
    from pysoftcorr.cli.gradient import gradient as work

    work(paths, given, config=config, as_json=as_json)


def wtheta(
    paths: list[str], given: Mapping[str, Any], *, config: str | None, as_json: bool
) -> None:
    """Angular correlation function w(theta) of positions, with both errors."""
    _statistics("wtheta", paths, given, config, as_json)


def cluster(
    paths: list[str], given: Mapping[str, Any], *, config: str | None, as_json: bool
) -> None:
    """Soft clusters of a catalog: centers and memberships."""
    settings, _ = resolve("cluster", given, config)
    output.use_threads(settings["threads"])
    with only_json(as_json):
        from pysoftcorr.cli import memberships

        output.check_out(settings, suffixes=memberships.SUFFIXES)
        made = memberships.make(paths[0], settings)
        files = []
        if settings["out"] is not None:
            files.append(made.write(settings["out"], overwrite=settings["overwrite"]))
        if settings["plot"] is not None:
            from pysoftcorr.cli.figures import draw_clusters

            files += draw_clusters(made.catalog, made.fit, settings["plot"])
        if not as_json:
            print(made.catalog.summary(), made.text(), sep="\n\n")
        wrote(files)
    if as_json:
        print(json.dumps(made.to_dict()))


def demo(out: str, *, threads: int | None, as_json: bool) -> None:
    """The main job on the shipped catalog."""
    folder = output.check_folder(out)
    output.use_threads(threads)
    with only_json(as_json):
        from pysoftcorr.cli.demo import run

        outcome, files = run(folder)
        document = report(outcome, as_json)
        wrote(files)
    if document is not None:
        print(json.dumps(document))


def julia_install(*, prefix: str | None, method: str, force: bool, image: bool) -> None:
    """Get a Julia runtime."""
    from pysoftcorr._julia import install

    install.install(prefix=prefix, method=method, force=force, image=image)


def julia_compile(*, force: bool) -> None:
    """Compile the Julia sources ahead of time."""
    from pysoftcorr._julia.image import compile_image

    compile_image(force=force)


def julia_status(*, as_json: bool) -> None:
    """Start Julia and describe it."""
    from pysoftcorr._julia import status

    says = status()
    if as_json:
        print(json.dumps(says))
    else:
        print("\n".join(f"{key}: {value}" for key, value in says.items()))


def julia_path() -> None:
    """Print the folder of the Julia package."""
    from pysoftcorr._julia import settings

    print(settings.package_dir())


def julia_exec(arguments: Sequence[str]) -> None:
    """Become the Julia of the runtime: its input, output, status and signals are those here."""
    from pysoftcorr._julia.hosts import launcher

    executable, variables = launcher()
    sys.stdout.flush()
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores these, and so would the new program
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execve(executable, [executable, *arguments], {**os.environ, **variables})


def _statistics(
    command: str,
    paths: list[str],
    given: Mapping[str, Any],
    config: str | None,
    as_json: bool,
) -> None:
    settings, explicit = resolve(command, given, config)
    output.use_threads(settings["threads"])
    with only_json(as_json):
        from pysoftcorr.sky.formats import SUFFIXES

        output.check_out(settings, suffixes=SUFFIXES)
        from pysoftcorr.cli.estimate import measure

        outcome = measure(command, paths, settings, explicit)
        files: list[Any] = []
        if settings["out"] is not None:
            outcome.result.write(settings["out"], overwrite=settings["overwrite"])
            files.append(settings["out"])
        if settings["plot"] is not None:
            from pysoftcorr.cli.figures import draw

            files += draw(outcome, settings["plot"])
        document = report(outcome, as_json)
        wrote(files)
    if document is not None:
        print(json.dumps(document))


def report(outcome: Outcome, as_json: bool) -> dict[str, Any] | None:
    """Print the table and the finding; for JSON give what is to be printed last instead."""
    if as_json:
        from pysoftcorr.cli.estimate import document

        return document(outcome)
    for catalog in outcome.catalogs:
        print(catalog.summary(), end="\n\n")
    print(outcome.result.format_table())
    if outcome.finding is not None:
        print(f"\n{outcome.finding.text()}")
    return None
