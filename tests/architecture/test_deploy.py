"""The image and the compose file fit the services."""

import json
import re
from pathlib import Path

import yaml
from execution_orchestrator.settings import OrchestratorSettings
from service_kit.process.settings import names_of
from workflow_catalog.settings import CatalogSettings
from workflow_gateway.settings import GatewaySettings
from workflow_worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
IMAGE = (ROOT / "deploy/docker/Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SETTINGS = (CatalogSettings, OrchestratorSettings, GatewaySettings, WorkerSettings)


def test_the_containers_are_told_only_settings_that_exist() -> None:
    fields = [item for settings in SETTINGS for item in settings.model_fields.items()]
    known = {spelling for name, field in fields for spelling in names_of(name, field)}

    assert set(COMPOSE["x-service"]["environment"]) <= known
    assert set(re.findall(r"\b(\w+_LISTEN)=", IMAGE)) <= known


def test_process_1_reaps_what_handlers_leave_behind() -> None:
    (entrypoint,) = re.findall(r"^ENTRYPOINT (.*)$", IMAGE, re.MULTILINE)

    assert json.loads(entrypoint)[:2] == ["/usr/bin/tini", "--"]
    assert " tini " in IMAGE


def test_the_sources_are_compiled_in_the_image_which_cannot_do_it_later() -> None:
    build, run = IMAGE.split("FROM ${BASE}\n")

    assert "compileall" in build
    assert "PYTHONDONTWRITEBYTECODE=1" in run


def test_every_port_that_is_published_or_called_is_one_that_the_image_opens() -> None:
    opened = set(re.findall(r"0\.0\.0\.0:(\d+)", IMAGE))
    published = {port.rpartition(":")[2] for port in COMPOSE["services"]["gateway"]["ports"]}
    addresses = COMPOSE["x-service"]["environment"]
    called = {value.rpartition(":")[2] for name, value in addresses.items() if name.endswith("_ADDRESS")}

    assert published | called <= opened


def test_the_build_gets_sources_only_and_makes_everything_else_itself() -> None:
    left_out = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".git", ".venv", ".data", "build", "libs/workflow-protos/src", "**/__pycache__"} <= set(left_out)
