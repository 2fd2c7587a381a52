"""docs/authoring-in-python.md keeps its word: its program, on the real stack, gives what the page shows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from embedded_stack.supervisor import Supervisor

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e"), pytest.mark.asyncio(loop_scope="session")]

PAGE = Path(__file__).parents[2] / "docs" / "authoring-in-python.md"


def block(language: str) -> str:
    """The one block of the page in this language."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert isinstance(text, str)
    return text


async def test_the_program_of_the_page_does_what_the_page_shows(stack: Supervisor) -> None:
    program: dict[str, Any] = {"__name__": "parcels"}
    exec(compile(block("python"), str(PAGE), "exec"), program)

    assert await program["main"](stack.plan.addresses["GATEWAY_ADDRESS"]) == json.loads(block("json output"))
    assert await program["main"](stack.plan.addresses["GATEWAY_ADDRESS"]) == json.loads(block("json output"))
