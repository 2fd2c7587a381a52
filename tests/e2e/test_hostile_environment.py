"""Settings of other programs in the shell change nothing: a stack starts, and runs a workflow to its end."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from testkit.directories import temporary_server_directory

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

NOWHERE = "http://127.0.0.1:1"
PROXIES = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
HOSTILE = dict.fromkeys(PROXIES, NOWHERE) | {
    # PostgreSQL's clients and tools
    "PGHOST": "192.0.2.1",
    "PGPORT": "1",
    "PGUSER": "nobody-there",
    "PGPASSWORD": "wrong",
    "PGDATABASE": "none",
    "PGSSLMODE": "verify-full",
    "PGSSLROOTCERT": "/nonexistent",
    "PGSSLNEGOTIATION": "direct",
    "PGPASSFILE": "/nonexistent",
    "PGSERVICE": "none",
    "PGSERVICEFILE": "/nonexistent",
    "PGOPTIONS": "-c default_transaction_read_only=on",
    "PGTARGETSESSIONATTRS": "standby",
    "PGDATA": "/nonexistent",
    "PGTZ": "Asia/Kathmandu",
    # what web applications and their servers set
    "DATABASE_URL": "mysql://app:secret@production/shop",
    "WEB_CONCURRENCY": "auto",
    "FORWARDED_ALLOW_IPS": "*",
    "PROMETHEUS_MULTIPROC_DIR": "/nonexistent",
    "REDIS_HOST": "192.0.2.1",
    "REDIS_PORT": "tcp://10.0.0.1:6379",
    "REDISCLI_AUTH": "wrong",
    # generic names
    "NAMESPACE": "prod",
    "QUEUES": "critical,default,low",
    "SLOTS": "none",
    "WORKERS": "auto",
    "WORKER_ID": "x" * 300,
    "CHILD_PROCESSES": "many",
    "DATABASE_POOL_SIZE": "0",
    "DATABASE_STATEMENT_TIMEOUT": "30s",
    "SHUTDOWN_GRACE_SECONDS": "7",
    "GrpcListen": "nowhere",
    "HOST": "0.0.0.0",
    "PORT": "7010",
    "LOG_LEVEL": "WARN",
    # locale, time, telemetry
    "LC_ALL": "POSIX",
    "LANG": "tr_TR.ISO-8859-9",
    "TZ": "Asia/Kathmandu",
    "OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE,
    "OTEL_TRACES_SAMPLER": "nonsense",
    "GRPC_DNS_RESOLVER": "native",
    "PYTHONOPTIMIZE": "2",
}
WORKFLOW = """\
workflow_id: hostile
tasks:
  - {id: first, type: noop, input: {text: "grüße"}}
  - id: health
    type: http.request
    needs: [first]
    input: {url: "${'http://' + input.gateway + '/health'}"}
output: "${tasks.first.output.text}"
"""
COMMAND = """
set -e
workflowctl="$0 -m workflowctl"
$workflowctl publish "$1"
exec $workflowctl start hostile --input "{\\"gateway\\": \\"$GATEWAY_HTTP_ADDRESS\\"}" --watch
"""


async def test_the_whole_stack_works_in_a_hostile_environment(tmp_path: Path) -> None:
    definition = tmp_path / "hostile.yaml"
    definition.write_text(WORKFLOW, encoding="utf-8")

    with temporary_server_directory() as data:
        stack = [sys.executable, "-m", "embedded_stack", "run", "--quiet", "--data-dir", str(data)]
        process = await asyncio.create_subprocess_exec(
            *(*stack, "--", "sh", "-c", COMMAND, sys.executable, str(definition)),
            env={**os.environ, **HOSTILE, "HTTP_REQUEST_ALLOW": "127.0.0.1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 240)

    assert process.returncode == 0, out.decode()
    assert "2 of 2 task runs ended" in out.decode()
