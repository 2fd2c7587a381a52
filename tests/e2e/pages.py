"""Reads the Markdown pages that a newcomer follows: which files they show, which commands, which output.

| block | meaning |
|---|---|
| `sh` | commands, one on a line, in the order of the page |
| `python`, `yaml` | a file, if the sentence before the block ends with "in `NAME`:" |
| `text output`, `json output` | directly after commands: lines that the last of them has printed |
| anything else | nothing to follow |

A comment `<!-- not run: REASON -->` on the line before a block of commands excludes it.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+?) -->\n)?```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.M | re.S
)
OUTPUTS = ("text output", "json output")
_FILE = re.compile(r"in `(?P<name>[\w.-]+)`:\s*\Z")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    info: str
    text: str
    not_run: str = ""
    """Why its commands are not run; empty if they are."""
    file_name: str = ""

    @property
    def place(self) -> str:
        """Return the page and the line, for a person."""
        return f"{self.page}:{self.line}"


@dataclass(slots=True)
class Step:
    """A command of a page, and the lines that it must print."""

    place: str
    command: str
    output: list[str] = field(default_factory=list)


def blocks(page: str, text: str | None = None) -> list[Block]:
    """Return all fenced blocks of a page, in its order."""
    text = (ROOT / page).read_text() if text is None else text
    found = []
    for match in _BLOCK.finditer(text):
        named = _FILE.search(text[: match.start()])
        line = text.count("\n", 0, match.start("info")) + 1
        name = named["name"] if named else ""
        found.append(Block(page, line, match["info"], match["text"], match["reason"] or "", name))
    return found


def steps(found: list[Block]) -> list[Step]:
    """Return the commands to run, each with its output."""
    result: list[Step] = []
    before = ""
    for block in found:
        if block.info == "sh" and not block.not_run:
            numbered = enumerate(block.text.splitlines(), start=block.line + 1)
            result += [Step(f"{block.page}:{number}", line) for number, line in numbered if line.strip()]
        elif block.info in OUTPUTS and before == "sh":
            result[-1].output += block.text.splitlines()
        before = block.info
    return result
