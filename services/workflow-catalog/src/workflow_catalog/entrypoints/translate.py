"""Translate domain values to messages of the contract, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from service_kit.data.consistency import EVENTUAL, STRONG, ReadConsistency, at_least
from service_kit.errors import to_status
from workflow_contract.messages import timestamp
from workflow_contract.names import DEFAULT_NAMESPACE
from workflowsystem.catalog.v1 import definition_pb2, report_pb2, workflow_pb2
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as service_pb2
from workflowsystem.type.v1 import read_consistency_pb2

from workflow_catalog.application.ports import VersionAnswer, WorkflowSummary
from workflow_catalog.application.versions import StartQuery, not_found
from workflow_catalog.domain.workflow import Workflow, WorkflowKey, WorkflowStatus, WorkflowVersion
from workflow_catalog.entrypoints.definition_codec import DefinitionMessages
from workflow_catalog.entrypoints.error_map import to_service_error

MAX_ANSWERED_DEFINITION_BYTES = 3 * 1024 * 1024
"""Size of all definitions in a response of BatchGetWorkflowVersions. gRPC accepts messages of up to 4 MiB."""

_STATUS_NUMBERS = {
    WorkflowStatus.DRAFT: workflow_pb2.WORKFLOW_STATUS_DRAFT,
    WorkflowStatus.ACTIVE: workflow_pb2.WORKFLOW_STATUS_ACTIVE,
    WorkflowStatus.INACTIVE: workflow_pb2.WORKFLOW_STATUS_INACTIVE,
    WorkflowStatus.ARCHIVED: workflow_pb2.WORKFLOW_STATUS_ARCHIVED,
}
_STATUSES: Mapping[int, WorkflowStatus] = {number: status for status, number in _STATUS_NUMBERS.items()}


def key_of(namespace: str, workflow_id: str) -> WorkflowKey:
    """Return the key of a workflow. An unset namespace means `default`."""
    return WorkflowKey(namespace or DEFAULT_NAMESPACE, workflow_id)


def status_of(number: int) -> WorkflowStatus:
    """Return the status with this number. The contract's rules have already refused other numbers."""
    return _STATUSES[number]


def consistency_of(wanted: read_consistency_pb2.ReadConsistency) -> ReadConsistency:
    """Return how fresh a read must be. Unset means EVENTUAL."""
    if wanted.WhichOneof("requirement") == "consistency_token":
        return at_least(wanted.consistency_token)
    strong = wanted.level == read_consistency_pb2.ReadConsistency.LEVEL_STRONG
    return STRONG if strong else EVENTUAL


class Translator:
    """Translates domain values to messages."""

    def __init__(self) -> None:
        self._definitions = DefinitionMessages()

    async def workflow(
        self,
        workflow: Workflow,
        consistency_token: str = "",
        report: report_pb2.ValidationReport | None = None,
    ) -> workflow_pb2.Workflow:
        """Return a workflow with its draft. Pass a token after a mutation, and a report after a publish."""
        return workflow_pb2.Workflow(
            namespace=workflow.key.namespace,
            workflow_id=workflow.key.workflow_id,
            status=_STATUS_NUMBERS[workflow.status],
            definition=await self._definitions.get(workflow.draft),
            etag=workflow.etag,
            active_version=workflow.active_version,
            draft_changed=workflow.draft_changed,
            create_time=timestamp(workflow.create_time),
            update_time=timestamp(workflow.update_time),
            consistency_token=consistency_token,
            report=report,
        )

    @staticmethod
    def summary(summary: WorkflowSummary) -> workflow_pb2.Workflow:
        """Return a workflow with only those fields of its draft that lists contain."""
        return workflow_pb2.Workflow(
            namespace=summary.key.namespace,
            workflow_id=summary.key.workflow_id,
            status=_STATUS_NUMBERS[summary.status],
            etag=summary.etag,
            active_version=summary.active_version,
            draft_changed=summary.draft_changed,
            create_time=timestamp(summary.create_time),
            update_time=timestamp(summary.update_time),
            definition=definition_pb2.WorkflowDefinition(
                description=summary.description, labels=summary.labels, owner=summary.owner
            ),
        )

    async def version(self, version: WorkflowVersion) -> workflow_pb2.WorkflowVersion:
        """Return a version, with its definition if `version` has it."""
        message = workflow_pb2.WorkflowVersion(
            namespace=version.key.namespace,
            workflow_id=version.key.workflow_id,
            version=version.version,
            content_hash=version.content_hash,
            publish_time=timestamp(version.publish_time),
        )
        if version.definition is not None:
            message.definition.CopyFrom(await self._definitions.get(version.definition))
        return message

    async def fitting_answers(
        self, answered: Sequence[tuple[StartQuery, VersionAnswer]]
    ) -> list[service_pb2.BatchGetWorkflowVersionsResponse.Answer]:
        """Return every answer. Include definitions until the message is full, but always the first one."""
        messages: list[service_pb2.BatchGetWorkflowVersionsResponse.Answer] = []
        definition_bytes = 0
        for question, answer in answered:
            if definition_bytes > MAX_ANSWERED_DEFINITION_BYTES:
                answer = _without_definition(answer)
            message = await self.answer(question, answer)
            size = message.version.definition.ByteSize() if message.version.HasField("definition") else 0
            if definition_bytes and definition_bytes + size > MAX_ANSWERED_DEFINITION_BYTES:
                message.version.ClearField("definition")
                size = 0
            definition_bytes += size
            message.definition_left_out = _wants_definition(question, answer) and size == 0
            messages.append(message)
        return messages

    async def answer(
        self, question: StartQuery, answer: VersionAnswer
    ) -> service_pb2.BatchGetWorkflowVersionsResponse.Answer:
        """Return the version, or the error if there is no such version."""
        message = service_pb2.BatchGetWorkflowVersionsResponse.Answer()
        if answer.status is not None:
            message.workflow_status = _STATUS_NUMBERS[answer.status]
        if answer.version is not None:
            message.version.CopyFrom(await self.version(answer.version))
        else:
            error = to_service_error(not_found(question.query, answer))
            message.error.CopyFrom(to_status(error))
        return message


def _without_definition(answer: VersionAnswer) -> VersionAnswer:
    return (
        answer
        if answer.version is None
        else replace(answer, version=replace(answer.version, definition=None))
    )


def _wants_definition(question: StartQuery, answer: VersionAnswer) -> bool:
    return answer.version is not None and answer.version.version != question.known_version
