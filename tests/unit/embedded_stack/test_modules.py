"""Modules of handlers are looked for before anything starts, and their code does not run for that."""

from pathlib import Path

import pytest
from embedded_stack.errors import StackError
from embedded_stack.modules import can_be_found, require_modules


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with modules that must not be imported here."""
    folder = tmp_path / "shop"
    for name in ("orders/handlers/__init__.py", "orders/__init__.py", "greetings.py", "plain/inner.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("raise SystemExit('this module was imported')\n")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    "module", ["greetings", "orders", "orders.handlers", "plain.inner", "json.decoder", "workflow_sdk.task"]
)
def test_a_module_of_this_folder_or_an_installed_one_is_found(module: str) -> None:
    assert can_be_found(module)


@pytest.mark.parametrize("module", ["greetngs", "orders.handler", "greetings.more", "json.decodr"])
def test_a_module_that_is_nowhere_is_not_found(module: str) -> None:
    assert not can_be_found(module)


def test_pythonpath_counts_as_it_does_for_the_workers(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.chdir(folder.parent)
    assert not can_be_found("greetings")
    monkeypatch.setenv("PYTHONPATH", f"/nowhere:{folder}")

    assert can_be_found("greetings")


def test_the_error_names_the_module_the_folder_and_what_to_do(folder: Path) -> None:
    with pytest.raises(StackError) as caught:
        require_modules(["greetings", "orders.handlr"])
    assert f"`orders.handlr`, but there is no such module: neither orders/handlr.py in {folder}" in str(
        caught.value
    )
    assert "Start in the folder that has it" in str(caught.value)
