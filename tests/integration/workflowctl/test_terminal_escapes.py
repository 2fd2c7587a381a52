"""No text of anybody else can steer the terminal or forge a line: every command, every text, every output."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from workflowctl import cli
from workflowctl.safe_text import OBEYED

from tests.integration.workflowctl.canaries import CANARY, FORGED, CanaryGateway

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
FILE = "FILE"
COMMANDS: dict[str, list[list[str]]] = {
    "apply": [[FILE]],
    "publish": [[FILE], ["orders"], [FILE, "--dry-run"], ["orders", "--dry-run"]],
    "validate": [[FILE], [FILE, "--offline"]],
    "diff": [[FILE], ["orders"]],
    "activate": [["orders"]],
    "deactivate": [["orders"]],
    "archive": [["orders", "--yes"]],
    "delete": [["orders", "--yes"]],
    "start": [["orders"], ["orders", "--watch"]],
    "watch": [[ID]],
    "pause": [[ID]],
    "resume": [[ID]],
    "cancel": [[ID]],
    "release": [[ID]],
    "get": [[ID], ["orders"], [ID, "--task", "load"]],
    "list": [[], ["workflows"]],
    "queues": [[]],
    "workers": [[], ["w"]],
    "tasks": [[ID], [ID, "--task", "load"]],
    "versions": [["orders"]],
    "graph": [["orders"], ["orders", "--format", "mermaid"], ["orders", "--format", "dot"], [FILE]],
    "export": [["orders"], ["orders", "--version", "3"]],
}
RUNS = [[name, *arguments] for name, several in COMMANDS.items() for arguments in several]
WITHOUT_A_SERVER = [["validate", FILE, "--offline"], ["graph", FILE]]
VARIANTS = range(4)
ENDINGS = (0, 2, 4)
"""The file has problems, and some variants of the report have errors."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[CanaryGateway]:
    gateway = CanaryGateway()
    yield gateway
    gateway.stop()


@pytest.fixture
def workflow_file(tmp_path: Path) -> str:
    """A definition with canaries, in a file whose name has one."""
    definition = {
        "workflow_id": f"orders {CANARY}",
        "description": CANARY,
        "labels": {CANARY: CANARY},
        "tasks": [{"id": CANARY, "type": CANARY, "when": CANARY}, {"id": "b", "needs": [CANARY], CANARY: 1}],
    }
    path = tmp_path / f"{CANARY.replace('/', '').replace(chr(0), '')}.json"
    path.write_text(json.dumps(definition).replace("\\u0000", ""))
    return str(path)


def run(gateway: CanaryGateway, arguments: list[str], file: str) -> int:
    words = [file if word == FILE else word for word in arguments]
    return cli.run([*words, "--address", f"127.0.0.1:{gateway.port}"])


def check_plain(text: str) -> None:
    found = OBEYED.search(text)
    assert found is None, repr(text[max(0, found.start() - 80) : found.end() + 20])
    assert not re.search(rf"^{FORGED}", text, re.MULTILINE)


def test_every_command_is_in_the_table() -> None:
    command = typer.main.get_command(cli.app)
    assert set(COMMANDS) == set(command.commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("arguments", RUNS, ids=" ".join)
def test_texts_are_shown_and_not_obeyed(
    gateway: CanaryGateway, arguments: list[str], workflow_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.fails = False
    for variant in VARIANTS:
        gateway.variant = variant
        assert run(gateway, arguments, workflow_file) in ENDINGS
        captured = capsys.readouterr()
        check_plain(captured.out)
        check_plain(captured.err)
        assert captured.out + captured.err


@pytest.mark.parametrize("arguments", [each for each in RUNS if "--format" not in each], ids=" ".join)
def test_json_has_escapes_of_its_own_for_the_same_texts(
    gateway: CanaryGateway, arguments: list[str], workflow_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.fails = False
    for variant in VARIANTS:
        gateway.variant = variant
        assert run(gateway, [*arguments, "--json"], workflow_file) in ENDINGS
        captured = capsys.readouterr()
        check_plain(captured.out)
        check_plain(captured.err)
        lines = captured.out.splitlines() if "watch" in " ".join(arguments) else [captured.out]
        for line in lines if captured.out else []:
            json.loads(line)


@pytest.mark.parametrize("arguments", [each for each in RUNS if each not in WITHOUT_A_SERVER], ids=" ".join)
def test_errors_of_the_server_are_shown_and_not_obeyed(
    gateway: CanaryGateway, arguments: list[str], workflow_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.fails = True
    assert run(gateway, arguments, workflow_file) in (2, 4)
    captured = capsys.readouterr()
    check_plain(captured.out)
    check_plain(captured.err)

    assert captured.err.startswith("error: ") or FILE in arguments


@pytest.mark.parametrize(
    "arguments", [["get", ID], ["watch", ID], ["list"], ["export", "orders"]], ids=" ".join
)
def test_on_a_terminal_only_the_styles_are_escapes(
    gateway: CanaryGateway,
    arguments: list[str],
    workflow_file: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    gateway.fails = False

    for variant in VARIANTS:
        gateway.variant = variant
        assert run(gateway, arguments, workflow_file) in ENDINGS
        out = capsys.readouterr().out
        own = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[lh]|[0-9]*[AK]|2K)|\r")
        check_plain(own.sub("", out))
        assert "\x1b[2J" not in out


WITH_ARGUMENTS = [
    [CANARY],
    ["get", CANARY],
    ["list", f"--{CANARY}"],
    ["list", "--status", CANARY],
    ["list", "--limit", CANARY],
    ["list", "--label", CANARY],
    ["start", "x", "--input", CANARY],
    ["start", "x", "--input", f"@{CANARY}"],
    ["apply", f"{CANARY}/"],
    ["watch", ID, "--timeout", CANARY],
    ["cancel", ID, "--grace", CANARY],
]


@pytest.mark.parametrize("arguments", WITH_ARGUMENTS, ids=range(len(WITH_ARGUMENTS)))
def test_arguments_are_shown_and_not_obeyed(
    gateway: CanaryGateway, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.fails = True
    assert run(gateway, arguments, "") in (2, 4)
    captured = capsys.readouterr()
    check_plain(captured.out)
    check_plain(captured.err)

    assert captured.err.startswith("error: ")


def test_exported_yaml_has_escapes_of_its_own_for_the_same_texts(
    gateway: CanaryGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.fails, gateway.variant = False, 1
    assert run(gateway, ["export", "orders"], "") == 0
    text = capsys.readouterr().out
    check_plain(text)
    exported = yaml.safe_load(text)

    assert exported["description"] == f"description {CANARY}"
    assert exported["labels"] == {CANARY: CANARY}
