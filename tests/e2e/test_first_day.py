"""A newcomer who follows the pages to the letter, with an empty home directory, gets what they promise."""

import ast
import importlib
import os
import re
import subprocess

import pytest

from tests.e2e.newcomer import newcomer
from tests.e2e.pages import ROOT, Block, blocks, steps

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("first-day"), pytest.mark.timeout(900)]

FOLLOWED = (
    "README.md",
    "docs/language.md",
    "docs/authoring-in-python.md",
    "libs/embedded-stack/README.md",
    "libs/workflowctl/README.md",
    "libs/workflow-sdk/README.md",
    "examples/hello/README.md",
)
NOT_RUN = 2
"""Blocks of commands, on all these pages, with a reason not to run them."""
COMMAND = re.compile(r"^\s*(\w+=\S* )*(make|cd|curl|python|\.venv/\S+|workflowctl) ", re.MULTILINE)
MARKED = "\n".join(
    (
        "in `a.yaml`:\n\n```yaml\nx\n```",
        "<!-- not run: too long -->\n```sh\nmake world\n```",
        "```sh\nfalse\ntrue\n```\n\n```text output\nyes\n```\n",
    )
)


def every_block() -> list[Block]:
    return [block for page in FOLLOWED for block in blocks(page)]


def test_commands_are_only_in_blocks_that_are_run() -> None:
    """A reader cannot see which blocks a test runs, so every block with commands must be one of them."""
    for block in every_block():
        assert block.info, f"{block.place}: write what it is behind the backticks, such as sh or text"
        if block.info == "text":
            assert not COMMAND.search(block.text), f"{block.place}: commands belong into a block `sh`"


def test_no_more_blocks_than_these_are_left_out() -> None:
    assert sum(bool(block.not_run) for block in every_block()) == NOT_RUN


def test_the_marks_of_the_pages_are_understood() -> None:
    file, left_out, *_ = found = blocks("a.md", MARKED)
    assert (file.file_name, left_out.not_run) == ("a.yaml", "too long")
    first, second = steps(found)

    assert (first.place, first.command, first.output) == ("a.md:11", "false", [])
    assert (second.place, second.command, second.output) == ("a.md:12", "true", ["yes"])


def test_the_pages_work_line_by_line() -> None:
    """One stack for all pages: the first one starts it, and the others say that it runs."""
    with newcomer() as person:
        for page in FOLLOWED:
            for block in blocks(page):
                if block.file_name:
                    person.save(block)
            for step in steps(blocks(page)):
                person.run(step)


def test_the_first_steps_are_among_the_commands() -> None:
    """The test above cannot be green because it found nothing to run."""
    commands = " ".join(step.command for page in FOLLOWED for step in steps(blocks(page)))
    for wanted in (
        "make demo",
        "make up",
        "publish greetings.yaml",
        "--watch",
        "buf curl",
        "python parcels.py",
    ):
        assert wanted in commands
    files = {block.file_name for block in every_block() if block.file_name}
    assert files == {"greetings.py", "greetings.yaml", "greeting.yaml", "parcels.py"}

    for page in FOLLOWED:
        assert (ROOT / page).read_text().count("\n```") == 2 * len(blocks(page)), (
            f"{page}: a block has no end"
        )


def test_programs_in_python_use_names_that_exist() -> None:
    """Also the pieces of programs, which cannot run alone."""
    for block in every_block():
        if block.info == "python":
            tree = compile(
                block.text, block.place, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
            )
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("workflow"):
                    module = importlib.import_module(node.module)
                    assert all(hasattr(module, name.name) for name in node.names), block.place


def test_make_keeps_the_folders_of_the_users_path() -> None:
    shown = subprocess.run(
        ["make", "-s", "--eval", "shown: ; @echo $$PYTHONPATH", "shown"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "/home/ada/handlers"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == f"{ROOT}:/home/ada/handlers\n"
