"""One piece of work at a time, in the order of asking, each with its limits."""

import threading
import time
from collections.abc import Callable

import pytest

from e2eve.app_page.queue import Job, Progress, WorkQueue
from e2eve.app_page.site import RequestError


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


class Gate:
    """Work that runs, telling its progress, until it is opened."""

    def __init__(self) -> None:
        self.opened, self.begun, self.ended = threading.Event(), False, False

    def __call__(self, progress: Progress) -> str:
        self.begun = True
        try:
            while not self.opened.wait(0.002):
                progress(1)
            return "result"
        finally:
            self.ended = True


def state(queue: WorkQueue, name: str) -> str:
    return queue.look(name)[0].state


def finished(queue: WorkQueue, name: str) -> Job:
    until(lambda: state(queue, name) not in ("waiting", "running"))
    return queue.look(name)[0]


def test_work_is_done_one_by_one_in_the_order_of_asking():
    queue, gates = WorkQueue(9, 60), [Gate(), Gate(), Gate()]
    names = [queue.add(gate) for gate in gates]
    until(lambda: state(queue, names[0]) == "running")
    assert [queue.look(name)[1] for name in names] == [0, 1, 2]
    assert (len(queue), state(queue, names[1])) == (3, "waiting")
    gates[2].opened.set()
    gates[0].opened.set()
    until(lambda: state(queue, names[1]) == "running")
    assert (finished(queue, names[0]).result, state(queue, names[2])) == ("result", "waiting")
    gates[1].opened.set()
    assert finished(queue, names[2]).result == "result"
    assert len(queue) == 0


def test_a_full_queue_refuses_with_a_sentence():
    queue, gate = WorkQueue(1, 60), Gate()
    first = queue.add(gate)
    until(lambda: state(queue, first) == "running")
    queue.add(gate)
    with pytest.raises(
        RequestError, match=r"The queue is full, 1 edits are waiting: try again"
    ) as found:
        queue.add(gate)
    assert found.value.status == 503
    gate.opened.set()


@pytest.mark.parametrize("running", [True, False])
def test_what_is_dropped_ends_and_is_forgotten(running):
    queue, first, gate = WorkQueue(9, 60), Gate(), Gate()
    if running:
        first.opened.set()
    queue.add(first)
    name = queue.add(gate)
    until(lambda: gate.begun if running else state(queue, name) == "waiting")
    queue.drop(name)
    with pytest.raises(RequestError, match="no longer kept"):
        queue.look(name)
    until(lambda: gate.ended == running)
    first.opened.set()
    until(lambda: len(queue) == 0)
    gate.opened.set()
    after = queue.add(lambda progress: 5)
    assert finished(queue, after).result == 5


def test_work_that_takes_too_long_is_stopped_with_a_sentence():
    queue = WorkQueue(9, max_seconds=0.05)
    job = finished(queue, queue.add(Gate()))
    assert job.state == "failed"
    assert job.message.startswith("The edit took longer than the limit of 0 s and was stopped:")


def test_work_that_nobody_looks_at_ends_and_what_it_left_is_forgotten():
    queue, gate = WorkQueue(9, 60, patience=0.05), Gate()
    queue.add(gate)
    until(lambda: gate.ended)
    until(lambda: not queue._jobs)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("Give another."), "Give another."),
        (RuntimeError("secret path"), "The edit failed (RuntimeError); the server's log says why."),
    ],
)
def test_an_error_is_a_sentence_and_the_next_work_is_done(error, sentence):
    def work(progress: Progress) -> None:
        raise error

    queue = WorkQueue(9, 60)
    job = finished(queue, queue.add(work))
    assert (job.state, job.message) == ("failed", sentence)
    assert finished(queue, queue.add(lambda progress: 5)).result == 5


def test_names_cannot_be_guessed():
    queue = WorkQueue(99, 60)
    names = {queue.add(lambda progress: None) for _ in range(50)}
    assert len(names) == 50
    assert min(map(len, names)) >= 32
