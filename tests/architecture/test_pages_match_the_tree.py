"""The pages that say where things are name files that exist, and leave none out."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORCHESTRATOR = ROOT / "services/execution-orchestrator"
SERVICE_KIT = ROOT / "libs/service-kit"
PAGES = ["ARCHITECTURE.md", "README.md", "CONTRIBUTING.md", "protos/README.md"]


def test_the_tree_in_architecture_names_every_folder_and_no_other() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    tree = text.split("## The tree")[1].split("```")[1]

    named = set(re.findall(r"^([\w/-]+)/", tree, re.MULTILINE))

    assert named == _folders()


def test_the_orchestrators_page_names_every_module_and_no_other() -> None:
    text = (ORCHESTRATOR / "README.md").read_text()
    source = ORCHESTRATOR / "src/execution_orchestrator"

    named = {file for row in re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE) for file in _files(row)}

    layers = ("domain", "application", "adapters", "entrypoints")
    assert named == {file for layer in layers for file in _modules(source, layer)}


def test_the_page_of_service_kit_names_every_module_in_its_room() -> None:
    text = (SERVICE_KIT / "README.md").read_text()
    source = SERVICE_KIT / "src/service_kit"
    rooms = re.split(r"^\*\*`(\w+)/`\*\*", text, flags=re.MULTILINE)

    for room, section in zip(rooms[1::2], rooms[2::2], strict=True):
        table = section.split("**`errors`**")[0].split("## ")[0]
        rows = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
        named = {f"{room}/{name}.py" for row in rows for name in re.findall(r"`(\w+)`", row)}
        assert named == set(_modules(source, room))


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_to_a_file(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
    files = [link for link in links if "://" not in link]

    missing = [link for link in files if not (path.parent / link).exists()]

    assert files
    assert missing == []


def _folders() -> set[str]:
    """Return the folders that the tree must name: those of libs and services each, the others as a whole."""
    named = {"protos", "third_party", "examples", "benchmarks", "tests", "tools", "deploy", "docs"}
    for parent in ("libs", "services"):
        named |= {f"{parent}/{file.parent.name}" for file in (ROOT / parent).glob("*/pyproject.toml")}
    return named


def _modules(source: Path, folder: str) -> list[str]:
    """Return the modules below a folder, relative to the source, without packages and migrations."""
    return [
        file.relative_to(source).as_posix()
        for file in (source / folder).rglob("*.py")
        if file.name != "__init__.py" and "migrations" not in file.relative_to(source).parts[:-1]
    ]


def _files(row: str) -> list[str]:
    """Return the files that a row names: a name without a folder is in the folder of the one before."""
    files: list[str] = []
    for name in re.findall(r"`([\w/]+\.py)`", row):
        files.append(name if "/" in name else f"{Path(files[-1]).parent.as_posix()}/{name}")
    return files
