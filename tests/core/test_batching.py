"""Calls coalesce while they wait, and never otherwise."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from vmops import Bucket, Limit, VirtualClock
from vmops.batching import Batcher, Limiter
from vmops.errors import PluginError, Unavailable


class Server:
    """Doubles numbers, and notes which came in one call."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def double(self, numbers: Sequence[int]) -> list[int | Exception]:
        """Twice each number; 13 is refused."""
        self.calls.append(list(numbers))
        self.entered.set()
        assert self.gate.wait(20)
        return [ValueError(str(n)) if n == 13 else 2 * n for n in numbers]


def unlimited() -> Limiter:
    """No limit at all."""
    return Limiter(Limit(), VirtualClock())


def limited(burst: float, per_second: float, batch: int = 1000) -> tuple[Limiter, VirtualClock]:
    """A token bucket under a virtual clock."""
    clock = VirtualClock()
    return Limiter(Limit(Bucket(burst, per_second), batch=batch), clock), clock


def submit_all(batcher: Batcher[int, int], items: Sequence[Sequence[int]]) -> list[list[object]]:
    """What each of several threads got for its items."""
    answers: list[list[object]] = [[] for _ in items]

    def run(index: int) -> None:
        answers[index] = list(batcher.submit(items[index]))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(items))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return answers


def test_idle_leaves_at_once() -> None:
    """A lone call leaves alone."""
    server = Server()
    assert Batcher(server.double, unlimited()).submit([1, 2]) == [2, 4]
    assert server.calls == [[1, 2]]


def test_nothing_is_no_call() -> None:
    """Submitting nothing asks nothing."""
    server = Server()
    assert Batcher(server.double, limited(1, 1)[0]).submit([]) == []
    assert server.calls == []


def test_what_arrives_during_a_call_leaves_together() -> None:
    """While one call is in flight all others pile up, and leave as one."""
    server = Server()
    batcher: Batcher[int, int] = Batcher(server.double, unlimited())
    server.gate.clear()
    first = threading.Thread(target=batcher.submit, args=([0],))
    first.start()
    assert server.entered.wait(10)
    opener = threading.Thread(target=_open_when, args=(server, batcher, 8))
    opener.start()
    answers = submit_all(batcher, [[n] for n in range(1, 9)])
    first.join(10)
    opener.join(10)
    assert answers == [[2 * n] for n in range(1, 9)]
    assert server.calls[0] == [0]
    assert sorted(server.calls[1]) == list(range(1, 9))
    assert len(server.calls) == 2


def _open_when(server: Server, batcher: Batcher[int, int], waiting: int) -> None:
    pause = threading.Event()
    while len(batcher._queue) < waiting:
        pause.wait(0.005)
    server.gate.set()


def test_waiting_for_a_token_makes_bigger_batches() -> None:
    """1,000 items under 5 + 2/s leave in few calls of the greatest size, not in 1,000."""
    limiter, clock = limited(5, 2, batch=300)
    server = Server()
    began = clock.now()
    batcher: Batcher[int, int] = Batcher(server.double, limiter, overlap=True)
    assert batcher.submit(range(100, 1100)) == [2 * n for n in range(100, 1100)]
    assert [len(call) for call in server.calls] == [300, 300, 300, 100]
    assert clock.now() == began


def test_the_bucket_is_kept() -> None:
    """Ten single calls under 5 + 2/s take two and a half seconds of the clock."""
    limiter, clock = limited(5, 2)
    batcher: Batcher[int, int] = Batcher(Server().double, limiter)
    began = clock.now()
    for number in range(10):
        batcher.submit([number])
    assert clock.now() - began == pytest.approx(2.5)


def test_items_have_a_budget_of_their_own() -> None:
    """Where the cloud counts VMs too, a big batch waits for them."""
    clock = VirtualClock()
    limiter = Limiter(Limit(items=Bucket(100, 10)), clock)
    began = clock.now()
    Batcher(Server().double, limiter).submit(range(20, 220))
    assert clock.now() - began == pytest.approx(10)


def test_throttling_halves_the_pace_and_obeys_retry_after() -> None:
    """After a refusal the next call waits as told, then at half the rate, until accepted again."""
    limiter, clock = limited(1, 1)
    limiter.wait_for_request()
    began = clock.now()
    limiter.throttled(retry_after=30)
    limiter.wait_for_request()
    assert clock.now() - began == pytest.approx(30)
    before = clock.now()
    for _ in range(4):
        limiter.wait_for_request()
    slow = clock.now() - before
    for _ in range(20):
        limiter.accepted()
    before = clock.now()
    for _ in range(4):
        limiter.wait_for_request()
    assert slow > 1.5 * (clock.now() - before)


def test_each_gets_its_own_answer_or_error() -> None:
    """One bad item is an exception in its own place."""
    answers = Batcher(Server().double, unlimited()).submit([1, 13, 2])
    assert (answers[0], answers[2]) == (2, 4)
    assert isinstance(answers[1], ValueError)


def test_a_failed_call_fails_every_item() -> None:
    """When the call itself fails, each item gets the exception."""

    def fail(_: Sequence[int]) -> list[int | Exception]:
        raise Unavailable("no answer")

    answers = Batcher(fail, unlimited()).submit([1, 2])
    assert [type(answer) for answer in answers] == [Unavailable] * 2


def test_a_wrong_number_of_answers_is_the_plugins_fault() -> None:
    """A batched call that does not answer for each item is an error that says so."""
    answers = Batcher(lambda _: [1], unlimited()).submit([1, 2])
    assert all(isinstance(answer, PluginError) for answer in answers)


def test_an_interrupted_leader_strands_nobody() -> None:
    """KeyboardInterrupt in the leading thread tells the others that the outcome is unknown."""
    calls: list[int] = []

    def interrupted(numbers: Sequence[int]) -> list[int | Exception]:
        calls.append(len(numbers))
        if len(calls) == 1:
            raise KeyboardInterrupt
        return [2 * n for n in numbers]

    batcher: Batcher[int, int] = Batcher(interrupted, limited(1, 1)[0])
    with pytest.raises(KeyboardInterrupt):
        batcher.submit([1])
    assert batcher.submit([2]) == [4]


@pytest.mark.parametrize("overlap", [True, False])
def test_stress(overlap: bool) -> None:
    """50 threads with 20 items each get exactly their answers, whatever coalesces."""
    limiter, _ = limited(3, 1000, batch=70)
    batcher: Batcher[int, int] = Batcher(Server().double, limiter, overlap=overlap)
    items = [[100 * t + n + 20 for n in range(20)] for t in range(50)]
    assert submit_all(batcher, items) == [[2 * n for n in some] for some in items]
