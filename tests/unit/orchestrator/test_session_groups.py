"""Which session of this replica gets the next task."""

from collections import Counter

from execution_orchestrator.application.workers.session import WorkerIdentity, WorkerSession
from execution_orchestrator.application.workers.session_groups import (
    SPARE_ENTRIES,
    SessionGroup,
    SessionGroups,
)

NOOP, SLEEP = ("default", "noop", "default"), ("default", "sleep", "default")


def joined(groups: SessionGroups, *types: str, slots: int = 10, credits: int = 0) -> WorkerSession:
    identity = WorkerIdentity("w", "boot", "default", frozenset(types), frozenset({"default"}), slots)
    session = WorkerSession(identity, lambda lease: None)
    group = groups.add(session)
    session.on_credit = lambda: group.note(session)
    if credits:
        session.grant(credits)
    return session


def test_the_session_with_the_greatest_share_of_free_slots_is_the_idlest() -> None:
    groups = SessionGroups()
    half = joined(groups, "noop", slots=10, credits=5)
    most = joined(groups, "noop", slots=4, credits=3)
    joined(groups, "noop", slots=100, credits=10)
    joined(groups, "sleep", slots=1, credits=1)
    assert groups.idlest(NOOP) is most
    most.reserve()

    most.reserve()

    assert groups.idlest(NOOP) is half


def test_tasks_are_spread_over_sessions_by_their_slots() -> None:
    groups = SessionGroups()
    large, small = joined(groups, "noop", slots=30, credits=30), joined(groups, "noop", slots=10, credits=10)
    share: Counter[WorkerSession] = Counter()

    for _ in range(20):
        session = groups.idlest(NOOP)
        assert session is not None
        session.reserve()
        share[session] += 1

    assert share == {large: 15, small: 5}


def test_sessions_without_credits_that_drain_or_that_are_closed_are_never_chosen() -> None:
    groups = SessionGroups()
    empty, draining, closed = (joined(groups, "noop", credits=1) for _ in range(3))
    empty.reserve()
    draining.stop_taking()
    closed.close()
    joined(groups, "noop")
    assert groups.idlest(NOOP) is None

    empty.give_back()

    assert groups.idlest(NOOP) is empty


def test_groups_with_different_types_compete_for_the_kinds_that_they_share() -> None:
    groups = SessionGroups()
    both, one = joined(groups, "noop", "sleep", credits=3), joined(groups, "noop", credits=4)

    assert groups.idlest(NOOP) is one
    assert groups.idlest(SLEEP) is both
    assert groups.idlest(("default", "other", "default")) is None
    assert groups.idlest(("team-a", "noop", "default")) is None


def test_a_session_that_left_is_forgotten_with_its_kinds() -> None:
    groups = SessionGroups()
    first, second = joined(groups, "noop", credits=1), joined(groups, "noop", credits=1)
    groups.remove(first)
    groups.remove(first)
    assert groups.idlest(NOOP) is second
    groups.remove(second)

    assert groups.idlest(NOOP) is None
    assert list(groups) == list(groups.kinds) == []


def test_a_heap_does_not_grow_with_the_number_of_grants() -> None:
    groups = SessionGroups()
    idle, busy = joined(groups, "noop", slots=10_000, credits=10_000), joined(groups, "noop", slots=10_000)
    (group,) = groups
    assert isinstance(group, SessionGroup)
    for _ in range(5_000):
        busy.grant(1)

    assert len(group._heap) <= 2 * 2 + SPARE_ENTRIES
    assert group.idlest() is idle


def test_choosing_a_session_asks_few_of_many() -> None:
    class Counting(WorkerSession):
        asked = 0

        @property
        def credits(self) -> int:
            Counting.asked += 1
            return self._credits

        @credits.setter
        def credits(self, value: int) -> None:
            self._credits = value

    groups = SessionGroups()
    identity = WorkerIdentity("w", "boot", "default", frozenset({"noop"}), frozenset({"default"}), 10)
    for _ in range(2_000):
        session = Counting(identity, lambda lease: None)
        group = groups.add(session)
        session.on_credit = lambda group=group, session=session: group.note(session)
        session.grant(10)
    Counting.asked = 0
    for _ in range(100):
        chosen = groups.idlest(NOOP)
        assert chosen is not None
        chosen.reserve()
    assert Counting.asked < 1_000
