"""The engine in a process of its own: same answers, same refusals, and whatever happens to it, the next query works.

Real processes throughout; the engines in them are those of isolation_engines.py, and once the embedded model.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import isolation_engines
import numpy as np
import pytest
from fakes import ColorEngine, boxes_frame

from lisa_ros.engine.isolation import (
    EngineDied,
    EngineError,
    EngineRestarted,
    EngineTimeout,
    IsolatedEngine,
    isolated,
    keeper,
)
from lisa_ros.engine.segmentation import Cancelled, QueryError

PICTURE = boxes_frame(1).color
PATIENCE = 120.0
"""Seconds after which a condition is given up. Nothing here takes long; the machine may be busy."""


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a dead one that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_gone(pid: int) -> bool:
    """Whether a process has let go of everything: its first thread may be dead before the others are."""
    try:
        return not is_alive(pid) and len(list(Path(f"/proc/{pid}/task").iterdir())) <= 1
    except FileNotFoundError:
        return True


def run(function):
    """Call in another thread: (thread, its outcome as it comes, a result or an exception)."""
    outcome = []

    def call():
        try:
            outcome.append(function())
        except Exception as error:  # noqa: BLE001 - the outcome
            outcome.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread, outcome


def result_of(call):
    thread, outcome = call
    thread.join(PATIENCE)
    assert outcome, "the call did not return"
    return outcome[0]


def assert_same(got, expected):
    for field in dataclasses.fields(expected):
        if field.name == "seconds":  # measured in each
            assert got.seconds.keys() == expected.seconds.keys()
        else:
            np.testing.assert_array_equal(getattr(got, field.name), getattr(expected, field.name), err_msg=field.name)
    assert got.masks.dtype == bool and got.mask_scores.dtype == expected.mask_scores.dtype


@pytest.fixture
def make(tmp_path, monkeypatch):
    """make(model, ...) -> IsolatedEngine that notes in tmp_path; restarts do not wait here."""
    monkeypatch.setattr(keeper, "RESTART_SECONDS", 0.05)
    engines = []

    def make(model="mini", **options):
        engine = IsolatedEngine(model, factory=isolation_engines.load, notes=str(tmp_path), **options)
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def engine(make):
    return make()


@pytest.fixture
def in_the_middle(engine, tmp_path):
    """in_the_middle(query, ...) -> a call of `ask` that the engine has begun and that goes on."""

    def begin(query, **options):
        frame = engine.encode(PICTURE)
        call = run(lambda: engine.ask(frame, [query], **options))
        wait_until((tmp_path / "begun").exists, "the query begins")
        (tmp_path / "begun").unlink()
        return call

    return begin


def assert_works(engine):
    """A new frame is encoded and a query about it answered, rightly."""
    (said,) = engine.ask(engine.encode(PICTURE), ["the red box"])
    np.testing.assert_array_equal(said.masks, (PICTURE == (255, 0, 0)).all(2)[None])
    assert engine.state == "ready"


# ---- the same answers ----
def test_it_looks_like_the_engine_inside(engine):
    inside = ColorEngine()
    for name in ("name", "device", "dtype", "min_target_probability"):
        assert getattr(engine, name) == getattr(inside, name)
    assert engine.state == "ready" and engine.restarts == 0
    assert is_alive(engine.pid) and engine.pid != os.getpid()


@pytest.mark.parametrize("options", [{}, {"keep_logits": True}, {"mode": "chat"}])
def test_answers_equal_those_of_the_engine_in_this_process(engine, options):
    inside = ColorEngine()
    queries = ["the red box", "the white box", "the green one"]
    got = engine.ask(engine.encode(PICTURE), queries, **options)
    expected = inside.ask(inside.encode(PICTURE), queries, **options)
    assert len(got) == 3
    for ours, theirs in zip(got, expected):
        assert_same(ours, theirs)
    assert engine.ask(engine.encode(PICTURE), []) == []


def test_pictures_of_all_sizes_one_after_the_other_and_none_disturbs_another(engine):
    rng = np.random.default_rng(0)
    sizes = [(8, 8), (968, 1296), (3, 700), (1200, 1600), (48, 64)]
    pictures = [rng.integers(0, 2, (*size, 3), np.uint8) * 255 for size in sizes]
    pictures.append(pictures[1][::2, ::-1])  # no contiguous memory
    frames = [engine.encode(picture) for picture in pictures]
    answers = [engine.ask(frame, ["red", "blue"]) for frame in frames]
    for picture, (red, blue) in zip(pictures, answers):  # kept while the others were asked
        np.testing.assert_array_equal(red.masks, (picture == (255, 0, 0)).all(2)[None])
        np.testing.assert_array_equal(blue.masks, (picture == (0, 0, 255)).all(2)[None])


def test_the_embedded_model_says_the_same_to_the_bit():
    from golden import read_case  # needs the model's packages, as nothing else here

    from lisa_ros.engine import Engine

    picture = read_case("p0").image
    inside = Engine.load("lisa-mini", device="cpu")
    outside = IsolatedEngine("lisa-mini", device="cpu")

    def say(engine):
        frame, texts = engine.encode(picture), []
        masks = engine.ask(frame, ["the thing to drink from", "the red box"], keep_logits=True)
        chat = engine.ask(frame, ["Where is it?"], mode="chat", max_new_tokens=8, on_text=lambda *t: texts.append(t))
        engine.min_target_probability = 1.0
        refused = engine.ask(frame, ["the red box"])
        return [*masks, *chat, *refused], texts

    try:
        assert (outside.name, outside.device, outside.dtype) == (inside.name, inside.device, inside.dtype)
        (expected, expected_texts), (got, got_texts) = say(inside), say(outside)
        assert len(expected[0].masks) + len(expected[1].masks) > 0 and len(expected[3].masks) == 0
        for ours, theirs in zip(got, expected):
            assert_same(ours, theirs)
        assert got_texts == expected_texts and got_texts
        with pytest.raises(QueryError, match="shorten"):
            outside.ask(outside.encode(picture), ["very " * 20_000])
        with pytest.raises(ValueError, match="image must be uint8"):
            outside.encode(picture.astype(np.float32))
        with pytest.raises(ValueError, match="mode must be"):
            outside.ask(outside.encode(picture), ["it"], mode="loud")
    finally:
        outside.close()


def test_text_comes_in_order_in_the_asking_thread(engine):
    heard = []
    engine.ask(
        engine.encode(PICTURE),
        ["the red box, slowly"],
        mode="chat",
        on_text=lambda index, text: heard.append((index, text, threading.get_ident())),
    )
    words = [f"word {number}" for number in range(8)]
    answer = ["[SEG].", "[SEG]. It", "[SEG]. It is", "[SEG]. It is that", "[SEG]. It is that one."]
    assert heard == [(0, text, threading.get_ident()) for text in [*words, *answer]]


def test_a_frame_that_nobody_refers_to_is_freed_there(make):
    engine = make(kind="CountingEngine")
    first, second, third = (engine.encode(PICTURE) for _ in range(3))
    assert engine.ask(second, ["red"])[0].answer == "3"
    del first, third
    assert engine.ask(second, ["red"])[0].answer == "1"


def test_the_process_imports_only_what_its_engine_needs(make):
    engine = make(kind="ModulesEngine")
    assert engine.ask(engine.encode(PICTURE), ["red"])[0].answer == "[]"


def test_who_asks_needs_no_torch():
    code = (
        "import sys, lisa_ros.engine.isolation, lisa_ros.perception;"
        "print(*[name for name in ('torch', 'rclpy', 'lisa_ros.model') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr


# ---- loading ----
@pytest.mark.parametrize(
    ("model", "kind", "text"),
    [
        ("/nowhere/ckpt", EngineError, "/nowhere/ckpt: no such directory; give 'lisa-mini' or a checkpoint directory"),
        ("bad option", ValueError, 'dtype "int3" is not known'),
        ("dies", EngineError, "the engine's process ended with exit status 7 while it loaded the model"),
    ],
)
def test_a_failed_load_says_what_the_engine_says(make, model, kind, text):
    with pytest.raises(kind) as raised:
        make(model)
    assert str(raised.value) == text


def test_a_checkpoint_error_keeps_its_words(tmp_path):
    with pytest.raises(EngineError) as raised:
        IsolatedEngine(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path / 'config.json'} is missing")


def test_a_checkpoint_removed_before_a_restart_and_back_again(make, tmp_path, monkeypatch):
    checkpoint = tmp_path / "checkpoint"
    checkpoint.touch()
    engine = make(str(checkpoint))
    checkpoint.unlink()
    os.kill(engine.pid, signal.SIGKILL)
    wait_until(lambda: engine.state.startswith("failed"), "the restart fails")
    assert str(checkpoint) in engine.state and engine.pid is None and engine.memory() == {}
    monkeypatch.setattr(keeper, "RESTART_SECONDS", 1e6)
    wait_until(lambda: time.monotonic() > engine._keeper._retry_at, "the short pause is over")
    for _ in range(20):  # the first one tries again, and then it is too early for the others
        with pytest.raises(EngineError, match=f"{checkpoint}: no such directory"):
            engine.encode(PICTURE)
    assert engine.restarts == 2
    checkpoint.touch()
    engine._keeper._retry_at = 0.0  # much later
    assert_works(engine)
    assert engine.restarts == 3


# ---- what goes wrong in a call ----
@pytest.mark.parametrize(
    ("query", "kind", "text"),
    [
        ("refuse", ValueError, "mode must be known"),
        ("red " * 600, QueryError, "the prompt takes 600 words, the model reads 500: shorten the query"),
        ("mistake", EngineError, "KeyError: 'layer_7'"),
    ],
)
def test_an_exception_leaves_the_process_and_its_frames(engine, query, kind, text):
    pid, frame = engine.pid, engine.encode(PICTURE)
    with pytest.raises(kind) as raised:
        engine.ask(frame, [query])
    assert type(raised.value) is kind and str(raised.value) == text
    assert len(engine.ask(frame, ["red"])[0].masks) == 1
    assert (engine.pid, engine.restarts) == (pid, 0)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("cuda error", "RuntimeError: CUDA error: an illegal memory access was encountered"),
        ("accelerator", "AcceleratorError: device-side assert triggered"),
        ("memory", "MemoryError: no room for 8 GiB"),
    ],
)
def test_an_exception_that_spoils_the_device_costs_the_process(engine, query, text):
    pid, frame = engine.pid, engine.encode(PICTURE)
    with pytest.raises(EngineError) as raised:
        engine.ask(frame, [query])
    assert type(raised.value) is EngineError and str(raised.value) == text
    with pytest.raises(EngineRestarted, match="encode it again"):
        engine.ask(frame, ["red"])
    assert_works(engine)
    assert engine.restarts == 1 and engine.pid != pid and not is_alive(pid)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("exit", "ended with exit status 3;"),
        ("segfault", r"ended with signal 11 \(SIGSEGV\);"),
        ("kill", r"ended with signal 9 \(SIGKILL\), as when the machine runs out of memory;"),
    ],
)
def test_a_process_that_ends_in_a_query(engine, query, text):
    frame = engine.encode(PICTURE)
    with pytest.raises(EngineDied, match=f"the engine's process {text} it is being restarted"):
        engine.ask(frame, [query])
    with pytest.raises(EngineRestarted):
        engine.ask(frame, ["red"])
    assert_works(engine)
    assert engine.restarts == 1


def test_a_process_that_ends_while_it_encodes(engine):
    with pytest.raises(EngineDied, match="ended with exit status 4"):
        engine.encode(PICTURE[:1, :1])
    assert_works(engine)


def test_a_process_killed_in_the_middle_of_a_query(engine, in_the_middle):
    call = in_the_middle("hang")
    os.kill(engine.pid, signal.SIGKILL)
    error = result_of(call)
    assert isinstance(error, EngineDied) and "signal 9 (SIGKILL)" in str(error)
    assert_works(engine)


def test_a_process_killed_while_nobody_asks_is_started_again_by_itself(engine):
    pid = engine.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: engine.pid not in (None, pid), "the next process")
    assert engine.restarts == 1
    assert_works(engine)


def test_a_process_killed_just_before_a_call(engine):
    """Encoding finds out by itself and waits; nothing was lost."""
    for _ in range(5):
        wait_until(lambda: engine.pid is not None, "the next process")
        pid = engine.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: is_gone(pid), "its end")
        assert_works(engine)


def test_waiting_for_a_restart_can_be_stopped(engine, monkeypatch):
    monkeypatch.setattr(keeper, "RESTART_SECONDS", 1e6)
    os.kill(engine.pid, signal.SIGKILL)
    wait_until(lambda: engine.state == "restarting", "the keeper notices")
    asked = []
    with pytest.raises(Cancelled):
        engine.encode(PICTURE, should_stop=lambda: asked.append(1) or len(asked) > 3)


def test_ctrl_c_is_not_for_the_engine(engine):
    assert os.getpgid(engine.pid) != os.getpgid(0)
    os.kill(engine.pid, signal.SIGINT)
    assert_works(engine)
    assert engine.restarts == 0


# ---- time ----
def test_no_sign_of_life(engine):
    pid, frame = engine.pid, engine.encode(PICTURE)
    engine.timeout = 0.2
    with pytest.raises(EngineTimeout, match=r"no sign of life for 0\.2 s \(parameter engine_timeout\)"):
        engine.ask(frame, ["hang"])
    engine.timeout = 0.0
    assert_works(engine)
    assert engine.restarts == 1 and not is_alive(pid)


def test_a_timeout_set_during_the_call_counts(engine, in_the_middle):
    call = in_the_middle("hang")
    engine.timeout = 0.05
    assert isinstance(result_of(call), EngineTimeout)


def test_a_text_is_a_sign_of_life(engine, monkeypatch):
    frame, now = engine.encode(PICTURE), [0.0]
    monkeypatch.setattr(isolated, "time", SimpleNamespace(monotonic=lambda: now[0]))
    engine.timeout = 10.0

    def later(index, text):
        now[0] += 6.0

    assert len(engine.ask(frame, ["the red box, slowly"], mode="chat", on_text=later)[0].masks) == 1
    assert now[0] > 60.0


# ---- cancel, abandon, many threads ----
def test_cancel_reaches_the_engine(engine, in_the_middle):
    stop = threading.Event()
    call = in_the_middle("until cancelled", should_stop=stop.is_set)
    stop.set()
    error = result_of(call)
    assert isinstance(error, Cancelled) and str(error) == "stopped as told"
    assert_works(engine)
    assert engine.restarts == 0


class Enough(Exception):
    pass


def test_the_answer_of_a_call_whose_caller_left_is_dropped(engine, in_the_middle, tmp_path):
    leave = threading.Event()

    def should_stop():
        if leave.is_set():
            raise Enough
        return False

    call = in_the_middle("the red box, stubborn", should_stop=should_stop)
    leave.set()
    assert isinstance(result_of(call), Enough)
    other = PICTURE[::-1].copy()
    next_call = run(lambda: engine.ask(engine.encode(other), ["the green box"]))
    (tmp_path / "go on").touch()
    (said,) = result_of(next_call)
    assert said.query == "the green box"
    np.testing.assert_array_equal(said.masks, (other == (0, 255, 0)).all(2)[None])
    assert engine.restarts == 0


def test_a_call_whose_caller_left_is_told_to_stop(engine):
    frame, texts = engine.encode(PICTURE), []

    def on_text(index, text):
        texts.append(text)
        raise Enough

    with pytest.raises(Enough):
        engine.ask(frame, ["slowly, then until cancelled"], on_text=on_text)
    assert texts == ["word 0"]
    assert_works(engine)


def test_calls_wait_for_each_other_and_heed_should_stop(engine, in_the_middle, tmp_path):
    call = in_the_middle("the red box, stubborn")
    with pytest.raises(Cancelled):
        engine.encode(PICTURE, should_stop=lambda: True)
    waiting = [run(lambda: engine.ask(engine.encode(PICTURE), ["the blue box"])) for _ in range(3)]
    (tmp_path / "go on").touch()
    assert result_of(call)[0].query == "the red box, stubborn"
    for other in waiting:
        (said,) = result_of(other)
        np.testing.assert_array_equal(said.masks, (PICTURE == (0, 0, 255)).all(2)[None])


def test_memory_is_told_while_a_query_runs(engine, in_the_middle, tmp_path):
    call = in_the_middle("stubborn")
    assert engine.memory()["resident"] > 1 << 20
    assert set(engine.memory()) == {"resident"}  # no GPU in this engine
    assert not call[1], "the query still runs"
    (tmp_path / "go on").touch()
    result_of(call)


# ---- the end ----
def test_close_is_polite_and_may_be_repeated(engine, tmp_path):
    pid = engine.pid
    frame = engine.encode(PICTURE)
    engine.close()
    engine.close()
    assert (tmp_path / "closed").exists() and not is_alive(pid)
    assert engine.state == "closed" and engine.pid is None and engine.memory() == {}
    for call in (lambda: engine.encode(PICTURE), lambda: engine.ask(frame, ["red"])):
        with pytest.raises(EngineError, match="the engine was closed"):
            call()


@pytest.mark.parametrize("query", ["hang", "until cancelled"])
def test_close_ends_a_query_under_way(engine, in_the_middle, query):
    pid = engine.pid
    call = in_the_middle(query)
    engine.close()
    assert not is_alive(pid)
    error = result_of(call)
    assert type(error) is EngineError and str(error) == "the engine was closed"


def test_close_during_a_restart(engine, monkeypatch):
    monkeypatch.setattr(keeper, "RESTART_SECONDS", 1e6)
    os.kill(engine.pid, signal.SIGKILL)
    wait_until(lambda: engine.state == "restarting", "the keeper notices")
    call = run(lambda: engine.encode(PICTURE))
    engine.close()
    assert isinstance(result_of(call), EngineError)
    assert not engine._keeper._thread.is_alive()


def test_an_engine_that_nobody_refers_to_ends():
    engine = IsolatedEngine("mini", factory=isolation_engines.load)
    pid = engine.pid
    del engine
    wait_until(lambda: not is_alive(pid), "its end")


PARENT = """
import sys, time
sys.path[:0] = {path!r}
import isolation_engines
from lisa_ros.engine.isolation import IsolatedEngine
engine = IsolatedEngine("mini", factory=isolation_engines.load)
frame = engine.encode(isolation_engines.np.zeros((4, 4, 3), "uint8"))
print(engine.pid, flush=True)
{then}
"""


@pytest.mark.parametrize("then", ["time.sleep(1000)", "engine.ask(frame, ['hang'])"])
def test_the_process_goes_when_its_parent_is_killed(repository, then):
    path = [str(repository), str(repository / "tests"), str(repository / "tests/unit")]
    code = PARENT.format(path=path, then=then)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    wait_until(lambda: not is_alive(pid), "the end of the engine's process")


def test_a_parent_that_just_ends_is_not_held_up(repository):
    path = [str(repository), str(repository / "tests"), str(repository / "tests/unit")]
    code = PARENT.format(path=path, then="")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: not is_alive(int(done.stdout)), "the end of the engine's process")


def test_shared_memory_has_no_name_that_could_be_left(engine):
    assert_works(engine)
    for pid in (os.getpid(), engine.pid):
        mapped = Path(f"/proc/{pid}/maps").read_text()
        assert "/memfd:lisa-engine" in mapped
    assert "/dev/shm/" not in Path(f"/proc/{engine.pid}/maps").read_text()


def test_twenty_engines_leave_nothing_behind(make):
    def held():
        gc.collect()  # what earlier tests left to it
        files = sorted(os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
        children = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
        return files, sum(map(len, children)), sorted(thread.name for thread in threading.enumerate())

    def cycle(number):
        engine = IsolatedEngine("mini", factory=isolation_engines.load)
        assert_works(engine)
        if number % 5 == 1:
            with pytest.raises(EngineDied):
                engine.ask(engine.encode(PICTURE), ["kill"])
        if number % 5 == 2:
            with pytest.raises(EngineError):
                IsolatedEngine("/nowhere", factory=isolation_engines.load)
        engine.close()

    cycle(0)
    before = held()
    for number in range(20):
        cycle(number)
    assert held() == before
