"""Compares the contracts with those of the branch that is landed on, by the rules of buf.yaml.

Offline: the old contracts come from git. Without an older commit there is nothing to break.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

BUF = Path(sys.executable).parent / "buf"


def base_commit() -> str | None:
    """The commit to compare with: `BUF_BREAKING_BASE`, else origin/main, else the parent of HEAD."""
    for name in filter(None, (os.environ.get("BUF_BREAKING_BASE"), "origin/main", "HEAD~1")):
        found = _git("rev-parse", "-q", "--verify", f"{name}^{{commit}}")
        commit = found.stdout.strip()
        if found.returncode == 0 and _git("cat-file", "-e", f"{commit}:buf.yaml").returncode == 0:
            return commit
    return None


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], capture_output=True, text=True)


def main() -> int:
    """Returns buf's exit code; 0 where there is nothing to compare with."""
    base = base_commit()
    if base is None:
        print("buf breaking: no older contracts to compare with")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", base, "buf.yaml", "protos", "third_party"], check=True, capture_output=True
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        return subprocess.run([BUF, "breaking", "--against", folder]).returncode


if __name__ == "__main__":
    sys.exit(main())
