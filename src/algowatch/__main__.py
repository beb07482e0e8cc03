"""`algowatch` and `python -m algowatch`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; without the engine's packages, say in one line what to install."""
    try:
        from algowatch.cli.main import run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("algowatch"):
            raise
        print(
            f"algowatch: the command needs the engine, and its package {error.name!r} is missing; "
            'install it with: pip install "algowatch[engine]"',
            file=sys.stderr,
        )
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
