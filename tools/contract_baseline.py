"""Compare the contracts with `protos/baseline.binpb`, the state that clients rely on.

    python tools/contract_baseline.py          check that nothing breaks, and that the baseline is complete
    python tools/contract_baseline.py take     write a new baseline, after an addition
    python tools/contract_baseline.py take --break    write it even if something breaks

The baseline is a file and not a commit, so that a fresh clone can compare. It needs no network. `--break`
fails unless protos/README.md explains the break in an entry with today's date.
"""

import argparse
import datetime
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUF = Path(sys.executable).parent / "buf"
TAKE = "make protos-baseline"


class BaselineError(Exception):
    """The contracts and the baseline do not match. The message says what to do."""


def check(root: Path) -> None:
    """Raise BaselineError if the contracts under `root` break the baseline or have additions to it."""
    _refuse_breaks(root)
    if image(root) != _baseline(root).read_bytes():
        raise BaselineError(
            "the contracts have additions that protos/baseline.binpb does not guard yet. "
            f"Run `{TAKE}` and commit the file together with the contracts."
        )


def take(root: Path, today: datetime.date, accept_break: bool = False) -> None:
    """Write the baseline from the contracts under `root`. May be repeated.

    Raise BaselineError if they break the old one. With `accept_break`, raise it only if protos/README.md has
    no entry of `today` that explains the break.
    """
    if accept_break:
        if f"\n- {today}: " not in (root / "protos/README.md").read_text(encoding="utf-8"):
            raise BaselineError(
                f"protos/README.md has no entry of {today} under `Breaking changes`. "
                f"Write `- {today}: ` and say there what breaks, why, and what clients must do."
            )
    elif _baseline(root).exists():
        _refuse_breaks(root)
    _baseline(root).write_bytes(image(root))


def image(root: Path) -> bytes:
    """Return the contracts under `root` as a compiled image, without comments."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "image.binpb"
        built = _buf(root, "build", "protos", "--exclude-source-info", "--output", str(target))
        if built.returncode:
            raise BaselineError(f"the contracts do not compile:\n{built.stdout}{built.stderr}")
        return target.read_bytes()


def _refuse_breaks(root: Path) -> None:
    if not _baseline(root).exists():
        raise BaselineError("protos/baseline.binpb is missing: restore it from git.")
    found = _buf(root, "breaking", "protos", "--against", str(_baseline(root)), "--exclude-imports")
    if found.returncode:
        raise BaselineError(
            f"the contracts break what clients rely on:\n{found.stdout}{found.stderr}"
            "Keep what exists, and add a field, a value or a method instead. "
            "For exceptions, see `Breaking changes` in protos/README.md."
        )


def _baseline(root: Path) -> Path:
    return root / "protos" / "baseline.binpb"


def _buf(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *arguments], cwd=root, capture_output=True, text=True)


def main() -> int:
    """Return 1 and print the reason if the contracts and the baseline do not match."""
    parser = argparse.ArgumentParser(description="Compare the contracts with protos/baseline.binpb.")
    commands = parser.add_subparsers(dest="command")
    taking = commands.add_parser("take", help="write a new baseline")
    taking.add_argument(
        "--break", dest="accept_break", action="store_true", help="write it even if something breaks"
    )
    arguments = parser.parse_args()
    try:
        if arguments.command == "take":
            take(ROOT, datetime.datetime.now(datetime.UTC).date(), arguments.accept_break)
        else:
            check(ROOT)
    except BaselineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
