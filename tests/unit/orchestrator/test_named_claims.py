"""A claim that a worker does not name for two spans is forgotten."""

from uuid import UUID

from execution_orchestrator.application.ports.lease_store import ConfirmedClaim
from execution_orchestrator.application.workers.named_claims import NamedClaims
from execution_orchestrator.domain.task import TaskKey

SPAN_SECONDS = 30.0
ONE, TWO = (ConfirmedClaim(UUID(int=number), TaskKey("only"), 1) for number in (1, 2))


def test_a_span_ends_once() -> None:
    named = NamedClaims(SPAN_SECONDS, now=100.0)
    assert [named.end_span(now) for now in (129.9, 130.0, 130.1, 159.9, 160.1)] == [
        False,
        True,
        False,
        False,
        True,
    ]


def test_a_claim_that_is_not_named_in_two_spans_is_forgotten() -> None:
    named = NamedClaims(SPAN_SECONDS, now=0.0)
    named.add([ONE])
    assert named.forgotten([ONE, TWO]) == []
    named.add([ONE])

    assert named.forgotten([ONE, TWO]) == [TWO]
    assert named.forgotten([ONE]) == []


def test_a_claim_that_is_named_in_every_second_span_is_not_forgotten() -> None:
    named = NamedClaims(SPAN_SECONDS, now=0.0)
    for _ in range(3):
        assert named.forgotten([ONE]) == []
        named.add([ONE])
        assert named.forgotten([ONE]) == []


def test_a_claim_with_another_epoch_is_another_claim() -> None:
    named = NamedClaims(SPAN_SECONDS, now=0.0)

    assert named.forgotten([ONE]) == []
    assert named.forgotten([ONE._replace(epoch=3)]) == []
