"""The worker's rules without ROS: who waits, who makes room, who is refused, and how standing queries share it."""

from __future__ import annotations

import threading

import pytest
from node_harness import SECONDS, wait_for

from lisa_ros.node.requests import MOST_STANDING, Request, Requests
from lisa_ros.perception import Status


class Office:
    """Requests with an answer that waits for `go`, and a note of how each one ended."""

    def __init__(self, **rules) -> None:
        self.ended: list[tuple[str, Status]] = []
        self.changed = threading.Condition()
        self.begun, self.go = threading.Event(), threading.Event()
        self.frames: list[int] = []
        self.requests = Requests(
            self.answer, self.next_frame, self.end, self.fail, **{name: lambda v=value: v for name, value in rules.items()}
        )

    def answer(self, request: Request) -> None:
        self.begun.set()
        wait_for(self.go)
        if "raise" in request.query:
            raise RuntimeError("broken")
        self.end(request, Status.FOUND, "")

    def next_frame(self, request: Request, should_stop) -> int | None:
        newer = [frame for frame in self.frames if request.frame is None or frame > request.frame]
        return newer[-1] if newer else None

    def end(self, request: Request, status: Status, reason: str) -> None:
        if request.claim():
            with self.changed:
                self.ended.append((f"{request.query} {request.id.partition('/')[2]}".strip(), status))
                self.changed.notify_all()

    def fail(self, request: Request, error: Exception) -> None:
        self.end(request, Status.FAILED, str(error))

    def ask(self, *texts: str, **options) -> list[Request]:
        asked = [Request(text, **options) for text in texts]
        for request in asked:
            self.requests.submit(request)
        return asked

    def until(self, count: int) -> list[tuple[str, Status]]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.ended) >= count, SECONDS)
            return list(self.ended)


@pytest.fixture
def office():
    made = []

    def make(**rules) -> Office:
        made.append(Office(**rules))
        return made[-1]

    yield make
    for one in made:
        one.go.set()
        assert one.requests.close("over", timeout=SECONDS)


def busy(office: Office) -> None:
    """Let it begin with one that takes until `go`."""
    office.ask("first")
    wait_for(office.begun)


def test_newest_replaces_what_waits_and_lets_the_running_one_finish(office):
    one = office()
    busy(one)
    one.ask("second", "third")
    assert one.until(1) == [("second", Status.CANCELLED)]
    one.go.set()
    assert one.until(3)[1:] == [("first", Status.FOUND), ("third", Status.FOUND)]


def test_preempt_ends_the_running_one_at_once(office):
    one = office(policy="preempt")
    busy(one)
    one.ask("second")
    assert one.until(1) == [("first", Status.CANCELLED)]
    one.go.set()
    assert one.until(2)[1:] == [("second", Status.FOUND)]


def test_fifo_answers_all_in_order_and_rejects_beyond_its_size(office):
    one = office(policy="fifo", queue_size=2)
    busy(one)
    one.ask("second", "third", "fourth")
    assert one.until(1) == [("fourth", Status.REJECTED)]
    one.go.set()
    assert one.until(4)[1:] == [("first", Status.FOUND), ("second", Status.FOUND), ("third", Status.FOUND)]


def test_more_than_the_rate_is_rejected(office):
    one = office(policy="fifo", max_rate=3.0)
    one.go.set()
    one.ask(*(f"q{number}" for number in range(5)))
    statuses = [status for _, status in one.until(5)]
    assert sorted(statuses) == [Status.FOUND] * 3 + [Status.REJECTED] * 2


def test_cancel_ends_a_running_request_before_its_answer_returns(office):
    one = office()
    (request,) = one.ask("first")
    wait_for(one.begun)
    one.requests.cancel(request, "no more")
    assert one.ended == [("first", Status.CANCELLED)]
    one.go.set()
    one.ask("second")
    assert one.until(2)[1:] == [("second", Status.FOUND)]


def test_standing_query_is_answered_once_for_each_frame_and_skips_what_it_missed(office):
    one = office()
    one.go.set()
    heard = []
    (standing,) = one.ask("look", standing=True, on_frame=heard.append)
    one.frames.append(1)
    one.until(1)
    one.frames += [2, 3]
    assert one.until(2) == [("look 1", Status.FOUND), ("look 2", Status.FOUND)]
    assert standing.frame in (2, 3)
    one.ask("query")
    one.until(3)
    one.requests.cancel(standing, "enough")
    ended = one.until(4)
    assert ("query", Status.FOUND) in ended and ("look", Status.CANCELLED) in ended
    one.frames.append(9)
    one.ask("last")
    one.until(len(ended) + 1)
    assert [text for text, _ in one.ended].count("last") == 1 and one.ended[-1][0] == "last"
    assert heard[:2] == [1, 2]


def test_a_query_comes_before_the_next_frame_of_standing_ones(office):
    one = office()
    one.frames.append(1)
    one.ask("look", standing=True)
    wait_for(one.begun)
    one.frames.append(2)
    one.ask("query")
    one.go.set()
    assert [text for text, _ in one.until(3)[:2]] == ["look 1", "query"]


def test_a_failing_standing_query_goes_on_and_ends_when_told(office):
    one = office()
    one.go.set()
    one.frames.append(1)
    (standing,) = one.ask("raise", standing=True)
    assert one.until(1) == [("raise 1", Status.FAILED)]
    one.frames.append(2)
    assert one.until(2)[1] == ("raise 2", Status.FAILED)
    one.requests.cancel(standing, "enough")
    assert one.until(3)[2] == ("raise", Status.CANCELLED)


def test_standing_queries_are_limited(office):
    one = office()
    one.ask(*(f"look {number}" for number in range(MOST_STANDING + 1)), standing=True)
    assert one.until(1) == [(f"look {MOST_STANDING}", Status.REJECTED)]


def test_close_ends_everything_once(office):
    one = office(policy="fifo")
    busy(one)
    one.ask("second")
    one.ask("look", standing=True)
    one.go.set()
    assert one.requests.close("over", timeout=SECONDS)
    (late,) = one.ask("late")
    assert sorted(text for text, _ in one.until(4)) == ["first", "late", "look", "second"]
    assert not late.claim()
