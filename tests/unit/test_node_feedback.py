"""What a waiting client is told: every stage, text that grows at a bearable pace, and always its end."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

from lisa_ros.node.feedback import TEXT_SECONDS, Feedback


class Heard:
    """A client and a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.messages = []
        self.feedback = Feedback(self.messages.append, "q7", clock=lambda: self.now)

    def texts(self) -> list[tuple[str, str]]:
        return [(message.stage, message.answer) for message in self.messages]


@pytest.fixture
def heard():
    return Heard()


def test_every_stage_is_told_with_the_seconds_since_the_beginning(heard):
    heard.feedback.begin("waiting")
    heard.now += 1.5
    heard.feedback.begin("encode")
    assert heard.texts() == [("waiting", ""), ("encode", "")]
    assert [message.seconds for message in heard.messages] == [0.0, 1.5]
    assert {message.request_id for message in heard.messages} == {"q7"}


def test_the_first_text_is_told_at_once_and_then_the_newest_one_in_a_while(heard):
    heard.feedback.begin("segment")
    for count in range(1, 12):
        heard.feedback.write("x" * count)
        heard.now += TEXT_SECONDS / 4
    assert heard.texts()[1:] == [("segment", "x"), ("segment", "x" * 5), ("segment", "x" * 9)]


def test_the_last_text_is_never_lost(heard):
    heard.feedback.begin("segment")
    heard.feedback.write("the first")
    heard.feedback.write("the last")
    heard.feedback.begin("publish")
    assert heard.texts()[1:] == [("segment", "the first"), ("segment", "the last"), ("publish", "the last")]


def test_a_request_that_ends_while_the_model_writes_tells_all_that_was_written(heard):
    heard.feedback.begin("segment")
    heard.feedback.write("the first")
    heard.feedback.write("the last")
    heard.feedback.close()
    assert heard.texts()[1:] == [("segment", "the first"), ("segment", "the last")]


def test_a_text_is_not_told_twice(heard):
    heard.feedback.begin("segment")
    heard.now += TEXT_SECONDS
    heard.feedback.write("once")
    heard.now += TEXT_SECONDS
    heard.feedback.write("once")
    heard.feedback.close()
    assert heard.texts() == [("segment", ""), ("segment", "once")]


def test_nothing_comes_after_the_end(heard):
    heard.feedback.begin("segment")
    heard.feedback.close()
    heard.now += 10 * TEXT_SECONDS
    heard.feedback.write("a model that did not stop")
    heard.feedback.begin("publish")
    assert heard.texts() == [("segment", "")]
