"""The life of a workflow, as the users' table has it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from workflow_catalog.domain import workflow as rules
from workflow_catalog.domain.definition import Definition
from workflow_catalog.domain.errors import StaleEtagError, StatusConflictError
from workflow_catalog.domain.workflow import (
    REPEATS,
    TRANSITIONS,
    Method,
    Workflow,
    WorkflowKey,
    WorkflowStatus,
    WorkflowVersion,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEY = WorkflowKey("default", "orders")
FIRST = Definition.from_json({"tasks": [{"id": "a", "type": "noop"}]})
SECOND = Definition.from_json({"tasks": [{"id": "b", "type": "noop"}]})
DRAFTS = [FIRST, SECOND]

USERS_TABLE = [
    # scenario, from, to, method
    ("publish workflow", "DRAFT", "ACTIVE", Method.PUBLISH),
    ("publish again", "ACTIVE", "ACTIVE", Method.PUBLISH),
    ("disable workflow", "ACTIVE", "INACTIVE", Method.DEACTIVATE),
    ("enable workflow", "INACTIVE", "ACTIVE", Method.ACTIVATE),
    ("archive workflow", "ACTIVE", "ARCHIVED", Method.ARCHIVE),
    ("archive workflow", "INACTIVE", "ARCHIVED", Method.ARCHIVE),
    ("archive workflow", "DRAFT", "ARCHIVED", Method.ARCHIVE),
]


def in_status(status: str) -> Workflow:
    workflow = rules.create(KEY, FIRST, NOW)
    if status == "ARCHIVED":
        return rules.change_status(workflow, Method.ARCHIVE, NOW)
    if status != "DRAFT":
        workflow, _ = rules.publish(workflow, NOW)
    return rules.change_status(workflow, Method.DEACTIVATE, NOW) if status == "INACTIVE" else workflow


def apply(workflow: Workflow, method: Method) -> Workflow:
    if method is Method.UPDATE:
        return rules.update(workflow, SECOND, NOW)
    if method is Method.PUBLISH:
        return rules.publish(workflow, NOW)[0]
    return rules.change_status(workflow, method, NOW)


def test_a_created_workflow_is_a_draft() -> None:
    workflow = rules.create(KEY, FIRST, NOW)

    assert (workflow.status, workflow.active_version, workflow.draft_changed) == ("DRAFT", 0, True)
    assert workflow.create_time == workflow.update_time == NOW


@pytest.mark.parametrize(("scenario", "before", "after", "method"), USERS_TABLE)
def test_every_row_of_the_users_table_works(scenario: str, before: str, after: str, method: Method) -> None:
    assert apply(in_status(before), method).status == after


@pytest.mark.parametrize("status", WorkflowStatus)
@pytest.mark.parametrize("method", Method)
def test_what_is_not_in_the_tables_is_refused_with_a_next_step(
    status: WorkflowStatus, method: Method
) -> None:
    workflow = in_status(status)
    if (status, method) in TRANSITIONS:
        assert apply(workflow, method).status == TRANSITIONS[status, method]
    elif (status, method) in REPEATS:
        assert apply(workflow, method) is workflow
    else:
        with pytest.raises(
            StatusConflictError, match=rf"`orders` is {status}, so {method} is not possible: \w"
        ):
            apply(workflow, method)


def test_nothing_leads_out_of_archived() -> None:
    assert not [row for row in TRANSITIONS if row[0] is WorkflowStatus.ARCHIVED]


def test_a_publish_freezes_the_draft_as_the_next_version() -> None:
    workflow, first = rules.publish(rules.create(KEY, FIRST, NOW), NOW)
    later = NOW + timedelta(hours=1)
    workflow, second = rules.publish(rules.update(workflow, SECOND, NOW), later)

    assert first == WorkflowVersion(KEY, 1, FIRST.content_hash, NOW, FIRST)
    assert second == WorkflowVersion(KEY, 2, SECOND.content_hash, later, SECOND)
    assert (workflow.active_version, workflow.draft_changed) == (2, False)


def test_an_unchanged_draft_is_not_published_again() -> None:
    workflow = in_status("ACTIVE")
    assert rules.publish(workflow, NOW) == (workflow, None)


def test_an_equal_draft_is_no_update() -> None:
    workflow = in_status("ACTIVE")
    assert rules.update(workflow, Definition.from_json(FIRST.value), NOW) is workflow


def test_a_draft_that_went_back_to_the_active_version_is_not_changed() -> None:
    workflow = in_status("ACTIVE")
    changed = rules.update(workflow, SECOND, NOW)

    assert changed.draft_changed
    assert not rules.update(changed, FIRST, NOW).draft_changed


def test_a_stale_etag_is_refused_and_an_empty_one_fits_any() -> None:
    workflow = in_status("DRAFT")
    etag = workflow.etag
    changed = rules.update(workflow, SECOND, NOW)
    changed.check_etag("")
    changed.check_etag(changed.etag)

    with pytest.raises(StaleEtagError, match="get it again, merge your change"):
        changed.check_etag(etag)


class LifeOfAWorkflow(RuleBasedStateMachine):
    """Any methods in any order, beside a small model of what must come of them."""

    def __init__(self) -> None:
        super().__init__()
        self.workflow = rules.create(KEY, FIRST, NOW)
        self.versions: list[WorkflowVersion] = []
        self.revisions = 1

    def follow(self, method: Method, after: Workflow) -> None:
        before = self.workflow
        assert (before.status, method) in TRANSITIONS or (before.status, method) in REPEATS
        assert (after is before) == (after.revision == before.revision)
        self.revisions += after is not before
        self.workflow = after

    @rule(draft=st.sampled_from(DRAFTS))
    def update(self, draft: Definition) -> None:
        try:
            after = rules.update(self.workflow, draft, NOW)
        except StatusConflictError:
            assert self.workflow.status == "ARCHIVED"
        else:
            self.follow(Method.UPDATE, after)
            assert after.draft == draft

    @rule()
    def publish(self) -> None:
        try:
            after, version = rules.publish(self.workflow, NOW)
        except StatusConflictError:
            assert self.workflow.status in ("INACTIVE", "ARCHIVED")
            return
        self.follow(Method.PUBLISH, after)
        if version is not None:
            self.versions.append(version)

    @rule(method=st.sampled_from([Method.DEACTIVATE, Method.ACTIVATE, Method.ARCHIVE]))
    def change_status(self, method: Method) -> None:
        try:
            self.follow(method, rules.change_status(self.workflow, method, NOW))
        except StatusConflictError:
            assert (self.workflow.status, method) not in TRANSITIONS

    @invariant()
    def revisions_count_changes(self) -> None:
        assert self.workflow.revision == self.revisions

    @invariant()
    def versions_have_no_gap_and_the_last_is_active(self) -> None:
        assert [version.version for version in self.versions] == list(range(1, len(self.versions) + 1))
        assert self.workflow.active_version == len(self.versions)
        if self.versions:
            assert self.workflow.active_hash == self.versions[-1].content_hash

    @invariant()
    def only_what_was_published_is_active(self) -> None:
        if self.workflow.status in ("ACTIVE", "INACTIVE"):
            assert self.versions
        if self.workflow.status == "DRAFT":
            assert not self.versions

    @invariant()
    def neighbouring_versions_differ(self) -> None:
        hashes = [version.content_hash for version in self.versions]
        assert all(earlier != later for earlier, later in itertools.pairwise(hashes))


TestLifeOfAWorkflow = LifeOfAWorkflow.TestCase


@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE", "ARCHIVED"])
def test_what_was_published_or_archived_is_not_deleted(status: str) -> None:
    with pytest.raises(StatusConflictError, match="DeleteWorkflow is not possible"):
        in_status(status).check_removal()


def test_a_draft_may_be_deleted() -> None:
    in_status("DRAFT").check_removal()


@pytest.mark.parametrize("etag", ["", "*", in_status("DRAFT").etag])
def test_an_etag_of_now_and_the_one_for_anything_fit(etag: str) -> None:
    in_status("DRAFT").check_etag(etag)


def test_a_change_makes_every_earlier_etag_stale() -> None:
    with pytest.raises(StaleEtagError):
        apply(in_status("DRAFT"), Method.UPDATE).check_etag(in_status("DRAFT").etag)


def test_a_workflow_that_was_created_again_has_another_etag() -> None:
    """A draft is deleted, and another one is created a microsecond later with the same id."""
    again = rules.create(KEY, FIRST, NOW + timedelta(microseconds=1))
    with pytest.raises(StaleEtagError):
        again.check_etag(rules.create(KEY, FIRST, NOW).etag)
