"""The package as somebody sees it who types its name in a shell."""

import subprocess
import sys
from collections.abc import Iterator

import workflow_sdk
from workflow_sdk import errors, failures
from workflow_sdk.authoring.errors import WorkflowDefinitionError
from workflow_sdk.payloads import PayloadError
from workflow_sdk.task import TaskDefinitionError


def test_completion_offers_every_public_name() -> None:
    assert set(workflow_sdk.__all__) <= set(dir(workflow_sdk))


def test_every_name_that_is_offered_exists() -> None:
    assert all(hasattr(workflow_sdk, name) for name in dir(workflow_sdk))


def test_every_error_that_a_user_can_catch_is_offered_at_the_top() -> None:
    raised = [errors.WorkflowError, failures.TaskFailure, failures.TaskCancelled]
    classes = {each for base in raised for each in (base, *descendants(base))}
    classes |= {PayloadError, TaskDefinitionError, WorkflowDefinitionError}

    ours = {each for each in classes if each.__module__.startswith("workflow_sdk.")}

    assert [each for each in ours if getattr(workflow_sdk, each.__name__, None) is not each] == []
    assert {each.__name__ for each in ours} <= set(workflow_sdk.__all__)


def descendants(base: type[BaseException]) -> Iterator[type[BaseException]]:
    for each in base.__subclasses__():
        yield each
        yield from descendants(each)


def test_a_process_that_only_runs_a_handler_does_not_load_grpc() -> None:
    program = "import sys, workflow_sdk, workflow_sdk.worker.child_main; sys.exit('grpc' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
