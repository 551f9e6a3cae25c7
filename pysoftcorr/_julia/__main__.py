"""``python -m pysoftcorr._julia install|compile|status|exec``: what the set-up needs."""

from __future__ import annotations

import argparse
import json
import os
import sys

from pysoftcorr._julia import found, image, install, juliacall_host, runtime, settings
from pysoftcorr._julia.errors import JuliaUnavailable


def executable_and_environment() -> tuple[str, dict[str, str]]:
    """The executable of the runtime in use, and the environment it runs in."""
    wanted = settings.host_choice()
    if wanted == "juliacall" or (wanted == "auto" and juliacall_host.ready()):
        executable, env = juliacall_host.executable(), dict(os.environ)
    else:
        chosen = found.choose()
        executable, env = chosen.executable, chosen.environment()
    env["JULIA_NUM_THREADS"] = str(settings.threads())
    return executable, env


def main(argv: list[str] | None = None) -> int:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(prog="python -m pysoftcorr._julia")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("install", help="get a Julia runtime")
    command.add_argument("--prefix")
    command.add_argument("--method", choices=install.METHODS, default="auto")
    command.add_argument("--force", action="store_true")
    command.add_argument("--no-image", action="store_true", help="compile nothing ahead of time")
    command = commands.add_parser("compile", help="compile a system image")
    command.add_argument("--force", action="store_true")
    command = commands.add_parser("status", help="start Julia and describe it")
    command.add_argument("--json", action="store_true")
    commands.add_parser("exec", help="run the Julia executable with the rest of the arguments")
    options, rest = parser.parse_known_args(argv)
    if rest and options.command != "exec":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if options.command == "install":
            install.install(
                prefix=options.prefix,
                method=options.method,
                force=options.force,
                image=not options.no_image,
            )
        elif options.command == "compile":
            image.compile_image(force=options.force)
        elif options.command == "status":
            says = runtime.status()
            if options.json:
                print(json.dumps(says))
            else:
                print("\n".join(f"{key}: {value}" for key, value in says.items()))
        else:
            executable, env = executable_and_environment()
            sys.stdout.flush()
            os.execve(executable, [executable, *rest], env)
    except (JuliaUnavailable, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
