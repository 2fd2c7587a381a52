"""Generate the code of the contracts for Go, Java and TypeScript, and compile it, as other teams do.

If the tools of a language are missing, print that and skip it; in CI (the variable CI is set) this is an
error. May be repeated: only the first run downloads tools and packages.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "languages"
BUF = str(Path(sys.executable).parent / "buf")


@dataclass(frozen=True)
class Language:
    """A language, and the steps that generate and compile its code."""

    name: str
    commands: tuple[str, ...]
    """The tools; all of them must be on the PATH."""
    install: str
    """A sentence that says which programs to install if they are missing."""
    steps: tuple[tuple[str, ...], ...]


LANGUAGES = (
    Language("go", ("go",), "Go 1.24 or later", ((BUF, "generate"), ("go", "build", "./..."))),
    Language("java", ("java", "mvn"), "a JDK 17 or later, and Maven", (("mvn", "-q", "-B", "compile"),)),
    Language(
        "typescript",
        ("node", "npm"),
        "Node.js 20 or later with npm",
        (("npm", "ci", "--silent"), (BUF, "generate"), ("npx", "tsc")),
    ),
)


def main() -> int:
    """Return 1 if the code of a language does not compile, or if CI lacks its tools."""
    return max(map(_check, LANGUAGES))


def _check(language: Language) -> int:
    missing = [command for command in language.commands if shutil.which(command) is None]
    if missing:
        print(
            f"{language.name} was not checked, {' and '.join(missing)} is missing: install {language.install}"
        )
        return 1 if os.environ.get("CI") else 0
    folder = BUILD / language.name
    shutil.copytree(HERE / language.name, folder, dirs_exist_ok=True)
    for step in language.steps:
        if subprocess.run(step, cwd=folder).returncode:
            print(f"{language.name}: `{' '.join(step)}` failed in {folder.relative_to(ROOT)}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
