"""Times out of protobuf's range are found at any depth, with their path."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from service_kit.errors import ServiceError
from service_kit.rpc.request_check import check
from workflowsystem.catalog.v1.workflow_catalog_service_pb2 import ValidateWorkflowRequest
from workflowsystem.execution.v1.execution_service_pb2 import ListExecutionsRequest


@pytest.mark.parametrize("time", [(-62_135_596_801, 0), (253_402_300_800, 0), (0, -1), (0, 1_000_000_000)])
def test_a_timestamp_out_of_range_is_refused_with_the_range(time: tuple[int, int]) -> None:
    seconds, nanos = time

    with pytest.raises(ServiceError, match="create_time_from must be a time from 0001-01-01") as refused:
        check(ListExecutionsRequest(create_time_from=Timestamp(seconds=seconds, nanos=nanos)))
    assert refused.value.violations[0].field == "create_time_from"


@pytest.mark.parametrize("time", [(-62_135_596_800, 0), (253_402_300_799, 999_999_999)])
def test_the_first_and_the_last_timestamp_are_taken(time: tuple[int, int]) -> None:
    check(ListExecutionsRequest(create_time_from=Timestamp(seconds=time[0], nanos=time[1])))


@pytest.mark.parametrize("span", [(1, -1), (-1, 1), (0, 1_000_000_000), (315_576_000_001, 0), (-(2**63), 0)])
def test_a_duration_out_of_range_is_refused_where_it_is(span: tuple[int, int]) -> None:
    request = ValidateWorkflowRequest(workflow_id="flow")
    request.definition.tasks.add(id="a", type="noop")
    bad = request.definition.tasks.add(id="b", type="noop").timeouts.heartbeat
    bad.CopyFrom(Duration(seconds=span[0], nanos=span[1]))

    with pytest.raises(ServiceError, match="with the same sign") as refused:
        check(request)
    assert refused.value.violations[0].field == "definition.tasks[1].timeouts.heartbeat"
