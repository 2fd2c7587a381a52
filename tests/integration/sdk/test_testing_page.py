"""docs/testing-handlers.md keeps its word: every test that the page shows passes."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "testing-handlers.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def shown_in(block: str) -> dict[str, Callable[[], Any]]:
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block, str(PAGE), "exec"), names)
    return {name: value for name, value in names.items() if name.startswith("test_")}


SHOWN = [test for block in BLOCKS for test in shown_in(block).values()]


def test_the_page_shows_tests_in_each_block() -> None:
    assert len(BLOCKS) == 2
    assert all(shown_in(block) for block in BLOCKS)


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.__name__)
async def test_a_test_of_the_page_passes(shown: Callable[[], Any]) -> None:
    ended = shown()

    if inspect.isawaitable(ended):
        await ended
