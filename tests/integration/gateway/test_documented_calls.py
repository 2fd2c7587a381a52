"""The calls that protos/README.md shows run as they stand there, against a gateway."""

import asyncio
import base64
import json
import shlex
import sys
from pathlib import Path
from uuid import uuid4

import grpc.aio
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.fakes.orchestrator import FakeExecutions
from tests.integration.gateway.running_gateway import RunningGateway

PAGE = Path(__file__).parents[3] / "protos/README.md"
ADDRESS = "127.0.0.1:7010"
GET = f"http://{ADDRESS}/workflowsystem.execution.v1.ExecutionService/GetExecution"


async def run(command: str, gateway: RunningGateway) -> tuple[int | None, str]:
    """The exit code and all output of a `buf` command that names the gateway's usual address."""
    program, *arguments = shlex.split(command.replace(ADDRESS, f"127.0.0.1:{gateway.grpc.port}"))
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / program,
        *arguments,
        cwd=PAGE.parents[1],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


def documented(word: str) -> str:
    (line,) = [
        line
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("buf curl") and word in line
    ]
    return line


async def test_every_service_is_listed_also_the_sessions_of_workers(gateway: RunningGateway) -> None:
    code, output = await run(documented("--list-methods"), gateway)
    assert code == 0, output
    for method in (
        "catalog.v1.WorkflowCatalogService/PublishWorkflow",
        "execution.v1.ExecutionService/StartExecution",
        "worker.v1.WorkerService/Session",
        "gateway.v1.WatchService/WatchExecution",
    ):
        assert f"workflowsystem.{method}" in output


async def test_a_method_answers_in_json(gateway: RunningGateway, executions: FakeExecutions) -> None:
    before = executions.calls["ListExecutions"]
    code, output = await run(documented("ListExecutions"), gateway)

    assert (code, output.strip()[:1]) == (0, "{"), output
    assert executions.calls["ListExecutions"] == before + 1


async def test_reflection_knows_the_details_of_errors(channel: grpc.aio.Channel) -> None:
    """Without it `grpcurl` shows them as bytes."""
    asked = [
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=f"google.rpc.{name}")
        for name in ("ErrorInfo", "BadRequest")
    ]
    answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(asked))

    assert [answer.WhichOneof("message_response") async for answer in answers] == [
        "file_descriptor_response"
    ] * 2


async def test_the_bytes_that_buf_shows_of_an_error_are_read_as_the_page_says(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    request = f'{{"execution_id": "{uuid4()}", "read_consistency": {{"level": "LEVEL_STRONG"}}}}'
    code, output = await run(
        f"buf curl --protocol grpc --http2-prior-knowledge -d '{request}' {GET}", gateway
    )
    assert code != 0
    value = json.loads(output)["details"][0]["value"]
    (tmp_path / "detail.binpb").write_bytes(base64.b64decode(value + "=="))
    (command,) = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if "buf convert" in line]
    convert = command.rpartition("| ")[2].replace("-#format=binpb", str(tmp_path / "detail.binpb"))

    code, output = await run(convert, gateway)

    assert code == 0, output
    assert json.loads(output)["reason"] == "EXECUTION_NOT_FOUND"
