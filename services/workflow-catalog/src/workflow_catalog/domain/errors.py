"""The errors with which the catalog refuses a call.

    CatalogError
     +- WorkflowNotFoundError         the namespace has no such workflow
     +- VersionNotFoundError          the workflow has no such version
     +- WorkflowAlreadyExistsError    another workflow has the id
     +- RequestIdReusedError          the request id was used before, with another body
     +- StatusConflictError           the workflow's status does not allow the method
     +- StaleEtagError                the draft was changed since the etag was read
     +- DefinitionInvalidError        the draft can't be published; has every problem
     +- DefinitionTooLargeError       the definition exceeds a limit of size
     +- DefinitionUnstorableError     the definition has a value that cannot be stored
     +- TooManyChecksError            too many definitions wait to be checked

Every message is written for the caller and names the next step.
"""

from __future__ import annotations

from collections.abc import Sequence

from workflow_catalog.domain.problem import Problem


class CatalogError(Exception):
    """A call was refused and changed nothing. The message is written for the caller."""


class WorkflowNotFoundError(CatalogError):
    """The workflow does not exist in the namespace."""

    def __init__(self, namespace: str, workflow_id: str) -> None:
        super().__init__(
            f"there is no workflow `{workflow_id}` in the namespace `{namespace}`: "
            "create it with CreateWorkflow, or find another one with ListWorkflows"
        )
        self.namespace = namespace
        self.workflow_id = workflow_id


class VersionNotFoundError(CatalogError):
    """The workflow exists, but this version of it does not. `version` 0 means the active version."""

    def __init__(self, namespace: str, workflow_id: str, version: int, active_version: int) -> None:
        if active_version:
            sentence = f"has no version {version}: the last one is {active_version}"
        else:
            sentence = "was never published: call PublishWorkflow first"
        super().__init__(f"workflow `{workflow_id}` {sentence}")
        self.namespace = namespace
        self.workflow_id = workflow_id
        self.version = version


class WorkflowAlreadyExistsError(CatalogError):
    """Another workflow has the id."""

    def __init__(self, namespace: str, workflow_id: str) -> None:
        super().__init__(
            f"there is already a workflow `{workflow_id}` in the namespace `{namespace}`: "
            "choose another id, or change it with UpdateWorkflow"
        )
        self.namespace = namespace
        self.workflow_id = workflow_id


class RequestIdReusedError(CatalogError):
    """The request id was used before, with another body."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"the request id {request_id!r} was used for another request before: use a new one")
        self.request_id = request_id


class StatusConflictError(CatalogError):
    """The workflow's status does not allow the method."""

    def __init__(self, workflow_id: str, status: str, method: str, advice: str) -> None:
        super().__init__(f"workflow `{workflow_id}` is {status}, so {method} is not possible: {advice}")
        self.workflow_id = workflow_id
        self.status = status
        self.method = method


class StaleEtagError(CatalogError):
    """The workflow was changed since the etag was read."""

    def __init__(self, workflow_id: str) -> None:
        super().__init__(
            f"workflow `{workflow_id}` was changed since its etag was read: "
            "get it again, merge your change, and send it with the new etag"
        )
        self.workflow_id = workflow_id


class DefinitionInvalidError(CatalogError):
    """The draft can't be published."""

    def __init__(self, workflow_id: str, problems: Sequence[Problem]) -> None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        first = f"{problems[0].field}: {problems[0].description}"
        super().__init__(f"workflow `{workflow_id}` can't be published: {first}{more}")
        self.workflow_id = workflow_id
        self.problems = tuple(problems)


class DefinitionTooLargeError(CatalogError):
    """The definition exceeds a limit. Sizes are in bytes of `form`: JSON, or google.protobuf.Value."""

    def __init__(self, size_bytes: int, limit_bytes: int, form: str = "JSON") -> None:
        super().__init__(
            f"the definition has {size_bytes:,} bytes as {form}, but at most {limit_bytes:,} are allowed: "
            "move large constants into the input or into a handler, or split the workflow"
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class DefinitionUnstorableError(CatalogError):
    """The definition has a value that PostgreSQL cannot store. `problem` has its path and the reason."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.field}: {problem.description}")
        self.problem = problem


class TooManyChecksError(CatalogError):
    """Too many definitions wait to be checked or compared."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} definitions already wait to be checked: repeat the call in a few seconds")
        self.limit = limit
