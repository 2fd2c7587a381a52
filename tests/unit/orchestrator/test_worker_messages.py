"""Everything that a session can send fits into messages that gRPC lets through."""

from datetime import timedelta
from uuid import UUID

from buf.validate import validate_pb2
from execution_orchestrator.application.workers.outbox import (
    Cancel,
    CancelReason,
    HeartbeatAck,
    Outbox,
    ReportStatus,
)
from execution_orchestrator.domain.limits import MAX_FAILURE_TEXT_BYTES
from execution_orchestrator.domain.task import Claim, Lease, TaskKey
from execution_orchestrator.entrypoints import worker_translate as translate
from execution_orchestrator.entrypoints.worker_messages import (
    ENVELOPE_BYTES,
    MAX_MESSAGE_BYTES,
    gathered,
    messages,
)
from service_kit.rpc.server import MAX_MESSAGE_BYTES as GRPC_LIMIT_BYTES
from workflow_contract.limits import MAX_PAYLOAD_BYTES
from workflow_contract.messages import duration
from workflowsystem.type.v1.failure_pb2 import Failure
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as pb

LAST_UUID = UUID(int=2**128 - 1)
LONG_ID = "x" * 63
LARGEST_KEY = TaskKey(LONG_ID, 2**31 - 1)
LEAST_MESSAGE_BYTES = 1536 * 1024
LARGEST_CLAIM = Claim(LAST_UUID, LARGEST_KEY, 2**63 - 1, bytes(16))


def lease(input_bytes: int, number: int = 0) -> Lease:
    return Lease(
        UUID(int=number),
        LONG_ID,
        LONG_ID,
        LARGEST_KEY,
        2**63 - 1,
        2**31 - 1,
        "ü" * 128,
        "x" * input_bytes,
        timedelta(days=3650),
        timedelta(days=3650),
        bytes(16),
    )


def test_leases_are_split_by_bytes_in_order_and_none_is_left_out() -> None:
    leases = [lease(60_000, number) for number in range(100)]
    packed = list(messages(Outbox(leases=leases)))
    assert len(packed) == 3
    assert all(each.message.ByteSize() <= MAX_MESSAGE_BYTES for each in packed)
    assert [each.leases for each in packed] == [len(each.message.leases.leases) for each in packed]
    sent = [lease.task for each in packed for lease in each.message.leases.leases]

    assert sent == [translate.task_ref(each.claim) for each in leases]


def test_two_leases_that_just_fit_are_one_message_and_not_larger_than_the_limit() -> None:
    """The bytes around the items count too, such as the TTL in a unary answer."""
    counts = set()

    for more in range(-100, 20):
        half = LEAST_MESSAGE_BYTES // 2 - 500
        leases = [lease(half), lease(half)]
        missing = LEAST_MESSAGE_BYTES - sum(translate.lease_message(each).ByteSize() for each in leases)
        leases = [lease(half), lease(half + missing + more)]
        groups = list(gathered(map(translate.lease_message, leases), LEAST_MESSAGE_BYTES))
        ttl = duration(timedelta(days=1, microseconds=1))
        for group, _ in groups:
            answer = pb.LeaseTasksResponse(leases=group, lease_ttl=ttl)
            assert answer.ByteSize() <= LEAST_MESSAGE_BYTES
        counts.add(len(groups))

    assert counts == {1, 2}


def test_leases_ride_on_acknowledgements_as_far_as_both_fit() -> None:
    acks = [(translate.task_ref(LARGEST_CLAIM), ReportStatus.RECORDED)] * 3_000
    few = list(messages(Outbox(leases=[lease(10)], acks=acks)))
    assert [(len(m.message.result_acks.acks), m.leases) for m in few] == [(3_000, 1)]
    many = list(messages(Outbox(leases=[lease(1_000_000), lease(1_000_000)], acks=acks)))

    assert [m.message.WhichOneof("message") for m in many] == ["result_acks", "leases"]
    assert [m.leases for m in many] == [0, 2]
    assert all(each.message.ByteSize() <= MAX_MESSAGE_BYTES for each in many)


def test_acknowledgements_and_cancels_are_split_by_bytes() -> None:
    acks = [(translate.task_ref(LARGEST_CLAIM), ReportStatus.UNDECIDED)] * 30_000
    cancels = [Cancel(LARGEST_CLAIM, CancelReason.CANCEL_REQUESTED, timedelta(seconds=600))] * 30_000
    packed = [each.message for each in messages(Outbox(acks=acks, cancels=cancels))]

    assert all(each.ByteSize() <= MAX_MESSAGE_BYTES for each in packed)
    assert sum(len(each.result_acks.acks) for each in packed) == 30_000
    assert sum(len(each.cancels.cancels) for each in packed) == 30_000


def test_the_largest_lease_fits_into_the_smallest_message() -> None:
    (packed,) = messages(Outbox(leases=[lease(MAX_PAYLOAD_BYTES)]), LEAST_MESSAGE_BYTES)
    assert packed.message.ByteSize() <= LEAST_MESSAGE_BYTES


def test_a_smaller_message_than_the_largest_items_need_is_refused() -> None:
    (rule,) = (field for field in pb.Hello.DESCRIPTOR.fields if field.name == "maximum_message_bytes")
    assert rule.GetOptions().Extensions[validate_pb2.field].int32.gte == LEAST_MESSAGE_BYTES


def test_the_largest_result_and_the_largest_failure_fit_into_a_message() -> None:
    ref = translate.task_ref(LARGEST_CLAIM)
    text = "x" * MAX_FAILURE_TEXT_BYTES
    failure = Failure(type="ü" * 256, message=text, details=text, retry_state="r" * 256)
    for result in (
        task_pb2.TaskResult(task=ref, output=b"x" * MAX_PAYLOAD_BYTES),
        task_pb2.TaskResult(task=ref, failure=failure),
    ):
        assert pb.WorkerMessage(results=pb.Results(results=[result])).ByteSize() <= LEAST_MESSAGE_BYTES


def test_the_answer_to_the_largest_heartbeats_fits_even_if_all_are_stale() -> None:
    """The answer repeats the references. So it fits if the heartbeats did, whatever they named."""
    claims = [Claim(UUID(int=number), LARGEST_KEY, 2**63 - 1, bytes(16)) for number in range(10_000)]
    beats = [task_pb2.TaskHeartbeat(task=translate.task_ref(claim)) for claim in claims]
    asked = pb.WorkerMessage(heartbeats=pb.Heartbeats(heartbeat_id=2**62, heartbeats=beats))
    ack = HeartbeatAck(2**62, claims, ())
    (packed,) = messages(Outbox(heartbeat_acks=[ack]))

    assert packed.message.ByteSize() <= min(asked.ByteSize(), LEAST_MESSAGE_BYTES)


def test_a_unary_answer_to_heartbeats_fits_if_all_have_to_stop() -> None:
    claims = [Claim(UUID(int=number), LARGEST_KEY, 2**63 - 1, bytes(16)) for number in range(10_000)]
    cancels = [Cancel(claim, CancelReason.CANCEL_REQUESTED, timedelta(seconds=600)) for claim in claims]
    response = pb.HeartbeatTasksResponse(cancels=map(translate.cancel_message, cancels))

    assert response.ByteSize() <= GRPC_LIMIT_BYTES


def test_items_are_gathered_up_to_the_limit_and_a_larger_one_stands_alone() -> None:
    items = [task_pb2.TaskRef(task_id="x" * size) for size in (10, 10, 500, 10)]
    groups = [[len(item.task_id) for item in group] for group, _ in gathered(items, 60 + ENVELOPE_BYTES)]

    assert groups == [[10, 10], [500], [10]]
    assert list(gathered([], 60 + ENVELOPE_BYTES)) == []
