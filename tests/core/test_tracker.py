"""Waiting: one look for all, paced by what was learned, on a clock that never sleeps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import pytest

from vmops import Action, Failed, Next, Operation, Pending, Progress, Succeeded, VirtualClock
from vmops.errors import AuthError, Conflict, Throttled, Unavailable
from vmops.outcomes import End, Outcome, Wait
from vmops.pace import Pace
from vmops.tracker import Tracker


class Cloud:
    """Operations that end at a time of their own; counts the looks."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.ends: dict[str, float] = {}
        self.answers: dict[str, Progress] = {}
        self.looks: list[int] = []
        self.trouble: list[Exception] = []

    def operation(self, seconds: float, action: Action = Action.START) -> Operation:
        """An operation asked for now that takes `seconds`."""
        name = f"vm-{len(self.ends)}"
        now = self.clock.now()
        self.ends[name] = now + seconds
        return Operation("memory", name, action, id=name, at=now)

    def look(self, operations: Sequence[Operation], timeout: float) -> Mapping[str, Progress]:
        """How they stand."""
        self.looks.append(len(operations))
        if self.trouble:
            raise self.trouble.pop(0)
        now = self.clock.now()
        return {
            o.id: self.answers.get(o.id, Succeeded()) if self.ends[o.id] <= now else Pending()
            for o in operations
        }


def tracker_of(cloud: Cloud, **extras: Callable[..., object]) -> Tracker:
    """A tracker over the cloud, with a tick of one second and no jitter."""
    return Tracker(
        cloud.look,
        extras.pop("advance", lambda operation: operation),  # type: ignore[arg-type]
        cloud.clock,
        Pace(1.0, lambda: 0.0),
        **extras,  # type: ignore[arg-type]
    )


@pytest.fixture
def cloud() -> Cloud:
    """A cloud under a fresh virtual clock."""
    return Cloud(VirtualClock())


def waits_for(cloud: Cloud, operations: Sequence[Operation], timeout: float = 300) -> list[Wait]:
    """One wait per operation."""
    return [Wait(operation, cloud.clock.now() + timeout) for operation in operations]


def test_a_thousand_waits_share_one_look_per_tick(cloud: Cloud) -> None:
    """1,000 operations that end within ten ticks cost at most ten looks and one thread."""
    operations = [cloud.operation(1 + i % 10) for i in range(1000)]
    threads = threading.active_count()
    ends = []
    for _, outcome in tracker_of(cloud).wait_many(waits_for(cloud, operations)):
        ends.append(outcome.end)
        assert threading.active_count() == threads
    assert ends == [End.SUCCEEDED] * 1000
    assert len(cloud.looks) <= 10


def test_each_is_yielded_as_it_ends(cloud: Cloud) -> None:
    """wait_many yields an operation when it ends, not when the last one does."""
    operations = [cloud.operation(30), cloud.operation(3)]
    waits = tracker_of(cloud).wait_many(waits_for(cloud, operations))
    began = cloud.clock.now()
    assert next(waits)[0] == 1
    assert cloud.clock.now() - began < 10
    assert next(waits)[0] == 0


def test_threads_share_one_look_per_tick(cloud: Cloud) -> None:
    """Waiters in 50 threads of their own cost as many looks as one would."""
    tracker = tracker_of(cloud)
    operations = [cloud.operation(20) for _ in range(50)]
    outcomes: list[Outcome] = []
    pause = threading.Event()
    look = cloud.look

    def look_when_all_wait(some: Sequence[Operation], timeout: float) -> Mapping[str, Progress]:
        while len(tracker._waits) < 50 and not outcomes:
            pause.wait(0.005)  # virtual time must not run ahead of threads that still start
        return look(some, timeout)

    tracker._look = look_when_all_wait
    threads = [
        threading.Thread(target=lambda o=o: outcomes.append(tracker.wait(waits_for(cloud, [o])[0])))
        for o in operations
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [outcome.end for outcome in outcomes] == [End.SUCCEEDED] * 50
    assert len(cloud.looks) <= 22


def test_timeout_ends_the_wait_not_the_operation(cloud: Cloud) -> None:
    """At the deadline there is a last look, then TIMED_OUT; a second wait succeeds."""
    operation = cloud.operation(50)
    tracker = tracker_of(cloud)
    outcome = tracker.wait(Wait(operation, cloud.clock.now() + 20))
    assert outcome.end is End.TIMED_OUT
    assert outcome.ended == pytest.approx(operation.at + 20, abs=1.01)
    assert tracker.wait(Wait(operation, cloud.clock.now() + 300)).end is End.SUCCEEDED


@pytest.mark.parametrize("error", [Throttled("slow down"), Unavailable("reset"), AuthError("old")])
def test_a_failed_look_is_not_a_failed_operation(cloud: Cloud, error: Exception) -> None:
    """Throttling, resets and expired credentials during a wait only delay it."""
    operation = cloud.operation(10)
    cloud.trouble = [error] * 5
    assert tracker_of(cloud).wait(waits_for(cloud, [operation])[0]).end is End.SUCCEEDED


def test_looks_that_never_succeed_are_named_in_the_timeout(cloud: Cloud) -> None:
    """When no look got an answer, TIMED_OUT carries the last reason, and looks back off."""
    cloud.trouble = [Throttled("slow down")] * 1000
    outcome = tracker_of(cloud).wait(waits_for(cloud, [cloud.operation(10)], 120)[0])
    assert outcome.end is End.TIMED_OUT
    assert isinstance(outcome.error, Throttled)
    assert len(cloud.looks) < 15


def test_retry_after_is_obeyed(cloud: Cloud) -> None:
    """A provider's own hint delays the next look."""
    cloud.trouble = [Throttled("slow down", retry_after=40)]
    operation = cloud.operation(10)
    outcome = tracker_of(cloud).wait(waits_for(cloud, [operation])[0])
    assert outcome.ended - operation.at >= 40
    assert len(cloud.looks) == 2


def test_learned_durations_save_looks(cloud: Cloud) -> None:
    """Once durations are known the first look comes when the operation is likely to end."""
    tracker = tracker_of(cloud)
    for _ in range(5):
        tracker.wait(waits_for(cloud, [cloud.operation(37)])[0])
    cold = len(cloud.looks)
    operation = cloud.operation(37)
    outcome = tracker.wait(waits_for(cloud, [operation])[0])
    assert len(cloud.looks) - cold <= 4
    assert outcome.ended - operation.at - 37 <= 1.5


def test_durations_are_learned_per_action(cloud: Cloud) -> None:
    """A slow provision does not delay the first look at a start."""
    tracker = tracker_of(cloud)
    for _ in range(5):
        tracker.wait(waits_for(cloud, [cloud.operation(60, Action.PROVISION)])[0])
    assert tracker.pace.expected(Action.PROVISION) == pytest.approx(60, abs=1)
    assert tracker.pace.expected(Action.START) is None
    operation = cloud.operation(2)
    assert tracker.wait(waits_for(cloud, [operation])[0]).ended - operation.at <= 4


def test_failure_carries_its_error(cloud: Cloud) -> None:
    """A failed operation is FAILED with the backend's error, others go on."""
    bad, good = cloud.operation(2), cloud.operation(5)
    cloud.answers[bad.id] = Failed(Conflict("no"))
    outcomes = dict(tracker_of(cloud).wait_many(waits_for(cloud, [bad, good])))
    assert outcomes[0].end is End.FAILED
    assert isinstance(outcomes[0].error, Conflict)
    assert outcomes[1].end is End.SUCCEEDED


def test_next_begins_the_second_phase_once_for_all_waiters(cloud: Cloud) -> None:
    """However many wait for one two-phase operation, its second phase is begun once per look."""
    operation = cloud.operation(3, Action.RESTART)
    cloud.answers[operation.id] = Next()
    begun: list[Operation] = []

    def advance(one: Operation) -> Operation:
        begun.append(one)
        cloud.answers[one.id] = Succeeded({"boot": 2})
        cloud.ends[one.id] = cloud.clock.now() + 3
        return one.next_phase({})

    waits = waits_for(cloud, [operation, operation])
    outcomes = dict(tracker_of(cloud, advance=advance).wait_many(waits))
    assert [o.end for o in outcomes.values()] == [End.SUCCEEDED] * 2
    assert len(begun) == 1
    assert outcomes[0].operation.phase == 2


def test_second_phase_refused_is_failed_and_unavailable_is_retried(cloud: Cloud) -> None:
    """A definite refusal of the second phase ends the wait; a transient one is tried again."""
    operation = cloud.operation(1, Action.RESTART)
    cloud.answers[operation.id] = Next()
    errors: list[Exception] = [Unavailable("later"), Conflict("never")]

    def advance(_: Operation) -> Operation:
        raise errors.pop(0)

    outcome = tracker_of(cloud, advance=advance).wait(waits_for(cloud, [operation])[0])
    assert outcome.end is End.FAILED
    assert errors == []


def test_success_waits_to_be_accepted(cloud: Cloud) -> None:
    """With `accept` (ready=ssh) success is believed only when it agrees."""
    operation = cloud.operation(2)
    wait = waits_for(cloud, [operation])[0]
    wait.accept = lambda _: cloud.clock.now() >= operation.at + 9
    outcome = tracker_of(cloud).wait(wait)
    assert outcome.ended >= operation.at + 9


def test_an_abandoned_generator_strands_nobody(cloud: Cloud) -> None:
    """Who stops iterating leaves the lead to others."""
    tracker = tracker_of(cloud)
    abandoned = tracker.wait_many(waits_for(cloud, [cloud.operation(1), cloud.operation(90)]))
    next(abandoned)
    done: list[Outcome] = []
    operation = cloud.operation(5)
    thread = threading.Thread(
        target=lambda: done.append(tracker.wait(waits_for(cloud, [operation])[0]))
    )
    thread.start()
    thread.join(10)
    assert done
    assert done[0].end is End.SUCCEEDED
    abandoned.close()


def test_a_leader_that_is_interrupted_hands_over(cloud: Cloud) -> None:
    """KeyboardInterrupt in the leading thread leaves the other waiters going."""
    tracker = tracker_of(cloud)
    done: list[Outcome] = []
    following = threading.Event()
    original = cloud.look

    def interrupted(operations: Sequence[Operation], timeout: float) -> Mapping[str, Progress]:
        thread.start()
        while not any(caller.asleep for caller in tracker._waits.values()):
            following.wait(0.01)
        tracker._look = original
        raise KeyboardInterrupt

    operation = cloud.operation(5)
    thread = threading.Thread(
        target=lambda: done.append(tracker.wait(waits_for(cloud, [operation])[0]))
    )
    tracker._look = interrupted
    with pytest.raises(KeyboardInterrupt):
        tracker.wait(waits_for(cloud, [cloud.operation(60)])[0])
    thread.join(10)
    assert done
    assert done[0].end is End.SUCCEEDED


def test_a_bug_in_the_backend_passes_through(cloud: Cloud) -> None:
    """An exception nobody mapped reaches the waiter as it is."""
    cloud.trouble = [ZeroDivisionError("a bug")]
    with pytest.raises(ZeroDivisionError):
        tracker_of(cloud).wait(waits_for(cloud, [cloud.operation(5)])[0])


def test_progress_is_watched(cloud: Cloud) -> None:
    """Every look at every wait is told to the watcher; ends are told once per look."""
    seen: list[Progress] = []
    ended: list[int] = []
    tracker = tracker_of(
        cloud,
        watched=lambda _, step: seen.append(step),
        ended=lambda outcomes: ended.append(len(outcomes)),
    )
    list(tracker.wait_many(waits_for(cloud, [cloud.operation(3), cloud.operation(3)])))
    assert [type(step) for step in seen[:2]] == [Pending, Pending]
    assert ended == [2]


def test_acceptance_is_asked_side_by_side(cloud: Cloud) -> None:
    """Many VMs that must answer as SSH are asked at the same time, not one after the other."""
    operations = [cloud.operation(2) for _ in range(8)]
    waits = waits_for(cloud, operations)
    together = threading.Barrier(8)

    def accept(_: Mapping[str, object]) -> bool:
        together.wait(10)
        return True

    for wait in waits:
        wait.accept = accept
    ends = [outcome.end for _, outcome in tracker_of(cloud).wait_many(waits)]
    assert ends == [End.SUCCEEDED] * 8
