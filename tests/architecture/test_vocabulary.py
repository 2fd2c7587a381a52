"""One thing has one word. The words that were retired appear nowhere in product code.

To retire a word, add a row to `RETIRED`. The kinds of text are `name` (identifiers), `prose` (comments and
docstrings) and `text` (all other strings: errors, log events, help texts). ARCHITECTURE.md has the glossary.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
NAME, PROSE, TEXT = "name", "prose", "text"
EVERYWHERE = ("libs", "services")
ORCHESTRATOR = ("services/execution-orchestrator",)
NOT_OURS = ("/migrations/versions/", "/workflow-protos/")
"""Migrations stay as they ran, and generated code says what the contracts say."""


class Retired(NamedTuple):
    """A word that no file of `where` uses any more, and the word to use."""

    pattern: str
    use: str
    kinds: tuple[str, ...] = (NAME,)
    where: tuple[str, ...] = EVERYWHERE


class Word(NamedTuple):
    """An identifier, a comment, or a string of a file."""

    kind: str
    text: str
    line: int


RETIRED = [
    Retired(r"Outcome", "TaskOutcome, AttemptOutcome, or Effect"),
    Retired(r"ReportOutcome|ResultOutcome", "TaskOutcome"),
    Retired(r"_?(LONGEST|LARGEST|MOST|MAXIMUM|GREATEST)_\w+", "MAX_..."),
    Retired(r"_?(SHORTEST|SMALLEST|FEWEST|LEAST|MINIMUM)_\w+", "MIN_..."),
    Retired(r"_?TERMINAL_\w+", "FINAL_..."),
    Retired(r"StopReason", "CancelReason", where=ORCHESTRATOR),
    Retired(r"CLOSE_(WAITING|ALL)", "CANCEL_WAITING, CANCEL_ALL", where=ORCHESTRATOR),
    Retired(r"Placed", "Position", where=ORCHESTRATOR),
    Retired(r"RenewedLease", "Claim", where=ORCHESTRATOR),
    Retired(r"fail_for_good", "fail_permanently", where=ORCHESTRATOR),
    Retired(r"tell", "publish, notify, send, or sync"),
    Retired(r"\bwhat is none\b", "say what it is not: 'that is not a hint'", (PROSE, TEXT)),
    Retired(r"\bfor good\b", "permanently", (PROSE, TEXT)),
    Retired(r"\bof now\b", "present, or current", (PROSE, TEXT)),
    Retired(r"\bhears? of\b", "receives", (PROSE, TEXT)),
    Retired(r"\btold\b", "notified", (PROSE,)),
    Retired(r"\bso (many|much)\b", "the number", (PROSE, TEXT)),
    Retired(r"\bwhere not\b", "if not", (PROSE, TEXT)),
    Retired(r"\bWho [a-z]", "name the actor", (PROSE,)),
    Retired(r"\bThose of\b", "the noun again", (PROSE,)),
    Retired(r"^\W*See (the port|the contract)\W*$", "no docstring: the port describes the method", (PROSE,)),
]


def words_of(source: str) -> Iterator[Word]:
    """Yield every identifier, comment and string of a Python file."""
    docstrings = set(_docstrings(source))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line = token.start[0]
        if token.type == tokenize.NAME:
            yield Word(NAME, token.string, line)
        elif token.type == tokenize.COMMENT:
            yield Word(PROSE, token.string, line)
        elif token.type == tokenize.STRING:
            yield Word(PROSE if line in docstrings else TEXT, " ".join(token.string.split()), line)


def _docstrings(source: str) -> Iterator[int]:
    """Yield the lines at which docstrings begin, also those of constants and fields."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.lineno


def breaks(source: str, retired: Retired) -> list[Word]:
    """Return the words of the source that are retired."""
    pattern = re.compile(retired.pattern)
    return [
        word
        for word in words_of(source)
        if word.kind in retired.kinds
        and (pattern.fullmatch(word.text) if word.kind == NAME else pattern.search(word.text))
    ]


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    """Every Python file of the product, by its path."""
    return {
        str(path.relative_to(ROOT)): path.read_text()
        for folder in EVERYWHERE
        for path in (ROOT / folder).glob("*/src/**/*.py")
        if not any(part in str(path) for part in NOT_OURS)
    }


@pytest.mark.parametrize("retired", RETIRED, ids=lambda retired: retired.pattern)
def test_a_retired_word_is_nowhere_in_the_product(sources: dict[str, str], retired: Retired) -> None:
    pattern = re.compile(retired.pattern)
    found = [
        f"{path}:{word.line}: {word.text}"
        for path, source in sources.items()
        if path.startswith(retired.where) and pattern.search(source)
        for word in breaks(source, retired)
    ]

    assert not found, f"write {retired.use} instead"


SAMPLE = '''
class Outcome:
    """A worker hears of its end."""

    LONGEST_NAME = "for what is none"  # told by LONGEST_NAME
'''


@pytest.mark.parametrize(
    ("retired", "line"),
    [
        (Retired("Outcome", "Effect"), 2),
        (Retired("hears of", "receives", (PROSE,)), 3),
        (Retired(r"LONGEST_\w+", "MAX_..."), 5),
        (Retired("what is none", "what it is not", (TEXT,)), 5),
        (Retired("told by", "notified by", (PROSE,)), 5),
    ],
)
def test_each_kind_of_text_is_found(retired: Retired, line: int) -> None:
    assert [word.line for word in breaks(SAMPLE, retired)] == [line]


@pytest.mark.parametrize(
    "retired", [Retired("Out", ""), Retired("hears of", ""), Retired("told", "", (TEXT,))]
)
def test_a_part_of_a_name_and_other_kinds_of_text_are_not_found(retired: Retired) -> None:
    assert breaks(SAMPLE, retired) == []
