"""Commands that pages and programs tell people to type: the command exists, and takes these arguments."""

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from workflowctl.cli import app

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    path for path in ROOT.rglob("*.md") if not {".venv", ".data", "build"} & set(path.relative_to(ROOT).parts)
)
SOURCES = sorted(
    path
    for folder in ("libs", "services", "examples", "benchmarks", "tools")
    for path in (ROOT / folder).rglob("*.py")
    if "workflow-protos" not in path.parts
)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

_CODE = re.compile(r"`([^`\n]+)`")
_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_WORKFLOWCTL = re.compile(r"^(?:\S*/)?workflowctl ([a-z-].*)$")
_MAKE = re.compile(r"^(?:\w+=\S+ )*make ([a-z-]+)\b")
_MODULE = re.compile(r"^(?:\w+=\S+ )*(?:\S*/)?python3? -m ([\w.]+)")
_HINT = re.compile(r"(?<![\w.-])workflowctl (?!itself)[a-z].*?(?=$|`|[;:,] |\. )")
"""In a text of a program: from the word to the end of the sentence."""


def typed_on_pages() -> Iterator[tuple[str, str]]:
    """Every place, and what somebody would type."""
    for page in PAGES:
        text = page.read_text()
        place = str(page.relative_to(ROOT))
        fenced = [line for block in _FENCE.findall(text) for line in block.splitlines()]
        yield from ((place, line) for line in fenced)
        yield from ((place, code) for code in _CODE.findall(_FENCE.sub("", text)))


def typed_in_programs() -> Iterator[tuple[str, str]]:
    for source in SOURCES:
        place = str(source.relative_to(ROOT))
        yield from ((place, text) for text in texts(ast.parse(source.read_text())))


def texts(tree: ast.AST) -> Iterator[str]:
    """The texts of a program; `ID` replaces each value that the program fills in."""
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "ID" for part in node.values]
            yield from "".join(map(str, parts)).splitlines()
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield from node.value.splitlines()


def commands_of_workflowctl() -> list[tuple[str, str]]:
    found = {(place, match[1]) for place, line in typed_on_pages() if (match := _WORKFLOWCTL.match(line))}
    for place, text in typed_in_programs():
        found |= {(place, hint.removeprefix("workflowctl ")) for hint in _HINT.findall(text)}
    return sorted(found)


@pytest.mark.parametrize(("place", "command"), commands_of_workflowctl())
def test_a_hinted_command_of_workflowctl_exists_and_takes_these_arguments(place: str, command: str) -> None:
    """A page may name a command without its arguments; a program must print it with them."""
    name, *arguments = shlex.split(command.partition(" | ")[0], comments=True)
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="workflowctl")
    found = group.get_command(context, name)  # type: ignore[attr-defined]
    assert found is not None, f"{place}: there is no `workflowctl {name}`"
    needed = [each for each in found.params if each.param_type_name == "argument" and each.required]
    if place.endswith(".md") and needed and all(each.startswith("-") for each in arguments):
        arguments.append("ID")
    numbered = ["0" if argument == "ITEM" else argument for argument in arguments]

    found.make_context(name, numbered, parent=context)


def test_a_hinted_target_of_make_exists() -> None:
    for place, line in [*typed_on_pages(), *typed_in_programs()]:
        typed = _MAKE.match(line)
        for target in [*([typed[1]] if typed else []), *re.findall(r"`make ([a-z-]+)", line)]:
            assert target in TARGETS, f"{place}: there is no `make {target}`"


def test_a_hinted_module_exists() -> None:
    for place, line in typed_on_pages():
        if (match := _MODULE.match(line)) and match[1] not in ("orders", "mine"):
            assert importlib.util.find_spec(match[1]) is not None, f"{place}: there is no module {match[1]}"


def test_there_are_such_hints() -> None:
    """The tests above look at something."""
    commands = commands_of_workflowctl()

    assert len(commands) > 50
    assert any(place.endswith("lifecycle.py") for place, _ in commands)
