"""`lisa bench --random-weights` from the command line to the table, on the smallest shapes."""

from __future__ import annotations

import json
import mmap
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lisa_ros.cli import random_bench
from lisa_ros.cli.main import main
from lisa_ros.evaluation import stage_timing
from lisa_ros.evaluation.memory import PeakMemory
from lisa_ros.evaluation.timing import Timing, measure


@pytest.fixture
def little_work(monkeypatch):
    monkeypatch.setattr(stage_timing, "LONG", 4)
    monkeypatch.setattr(stage_timing, "SHORT", 2)
    monkeypatch.setattr(stage_timing, "WARMUP", 1)
    monkeypatch.setattr(stage_timing, "BATCH", 2)


def test_every_stage_both_ways_and_memory(little_work, tmp_path, capsys):
    out = tmp_path / "bench.json"
    command = ["bench", "--random-weights", "mini", "--layers", "1", "--repeats", "1", "--device", "cpu"]
    assert main([*command, "--json", str(out)]) == 0
    printed, progress = capsys.readouterr()
    written = json.loads(out.read_text())
    rows = {row["stage"]: row for row in written["rows"]}
    stages = [row for row, _, _ in stage_timing.STAGES]
    memory = ["weights", "peak, building", "peak, asking"]
    assert list(rows) == [*stages, "decode per token", *stage_timing.QUERY_ROWS, *memory]
    assert all(row["p50_ms"] > 0 for name, row in rows.items() if name not in memory)
    assert 0.1 < sum(rows[stage]["share"] for stage in stages) < 1.5  # one after another on a CPU; medians, so about 1
    assert all(rows[row]["reference_n"] >= 1 for row in stage_timing.QUERY_ROWS)
    assert rows["first query"]["reference_p50_ms"] == rows["further query"]["reference_p50_ms"]
    assert rows["weights"]["unit"] == "GB" and rows["peak, asking"]["reference_p50_ms"] is not None
    assert rows["peak, building"]["p50_ms"] is not None
    lines = {line.split("  ")[0]: line for line in printed.splitlines()}
    gain = rows["further query"]["reference_p50_ms"] / rows["further query"]["p50_ms"]
    assert f"{gain:.1f}x" in lines["further query"]
    assert "1 of 30 language layers" in printed and "limit" not in printed
    assert "first query, reference" in progress


def test_the_reference_is_asked_the_same_queries_on_the_same_picture(little_work):
    seen, encoded = {"ours": [], "theirs": []}, []

    class Engine:
        device = "cpu"

        def encode(self, color):
            encoded.append(color.max())
            return SimpleNamespace(color=color, seconds=dict.fromkeys(("preprocess", "clip", "sam", "prefix"), 0.001))

        def ask(self, frame, queries, mode="mask", max_new_tokens=0):
            seen["ours"].append((frame.color.sum(), tuple(queries), max_new_tokens))
            names = ("language", "decode", "upscale", "copy", "generate")
            return [SimpleNamespace(seconds=dict.fromkeys(names, 0.008))]

    class Reference:
        device = "cpu"

        def teacher_forced(self, color, queries):
            seen["theirs"].append((color.sum(), tuple(queries), 0))

        def generate(self, color, query, max_new_tokens):
            seen["theirs"].append((color.sum(), (query,), max_new_tokens))

    color = np.full((4, 4, 3), 7, np.uint8)
    memory = PeakMemory(torch.device("cpu"))
    found = stage_timing.compare(Engine(), Reference(), color, random_bench.QUERIES, repeats=1, memory=memory)
    assert len(encoded) < len(seen["ours"])  # a frame is kept for further queries
    ours, theirs = ({(total, len(asked), tokens) for total, asked, tokens in seen[way]} for way in ("ours", "theirs"))
    assert theirs == {(336, 1, 0), (336, 2, 0), (336, 1, 2), (336, 1, 4)}
    assert ours == theirs | {(336, 2, 2)}  # these the reference answers one by one
    chats = [asked for _, asked, tokens in (*seen["ours"], *seen["theirs"]) if tokens]
    assert all(query.endswith(" [SEG]") for asked in chats for query in asked)
    per_token = next(timing for timing in found.timings if timing.stage == "decode per token")
    assert per_token.samples_ms == [2.0]


def test_what_takes_the_reference_too_long_is_left_out(monkeypatch):
    frame = SimpleNamespace(seconds=dict.fromkeys(("preprocess", "clip", "sam", "prefix"), 1.0))
    answer = SimpleNamespace(seconds=dict.fromkeys(("language", "decode", "upscale", "copy", "generate"), 1.0))
    engine = SimpleNamespace(device="cpu", encode=lambda color: frame, ask=lambda *about, **options: [answer])
    reference = SimpleNamespace(teacher_forced=lambda *about: None, generate=lambda *about, **options: None)

    def slow(call, **options):
        call()
        return [30_000.0]

    monkeypatch.setattr(stage_timing, "measure", slow)
    memory = PeakMemory(torch.device("cpu"))
    found = stage_timing.compare(engine, reference, None, random_bench.QUERIES, repeats=1, memory=memory)
    assert {timing.stage: timing.remark for timing in found.timings}[stage_timing.EIGHT_SHORT].endswith("240 s")
    compared = {timing.stage: timing.reference_ms for timing in found.timings[-len(stage_timing.QUERY_ROWS) :]}
    assert compared.pop(stage_timing.EIGHT_SHORT) == []
    assert all(samples == [30_000.0] for samples in compared.values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--random-weights", "70b"], "invalid choice"),
        (["--layers", "1"], "--layers needs --random-weights"),
        (["--random-weights", "mini", "--repeats", "0"], "--repeats must be at least 1"),
        (["--random-weights", "mini", "--model", "somewhere"], "not both"),
    ],
)
def test_command_lines_that_make_no_sense(arguments, said, capsys):
    assert main(["bench", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_more_layers_than_there_are(capsys):
    assert main(["bench", "--random-weights", "mini", "--layers", "99"]) == 1
    assert "layers must be 1 to 30" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shapes", "gpu", "layers", "dtype", "first"),
    [
        ("7b", "NVIDIA H200", None, "bfloat16", 30.0),
        ("13b", "NVIDIA H200", None, "bfloat16", 60.0),
        ("7b", "NVIDIA A100", None, "bfloat16", None),
        ("7b", "NVIDIA H200", 1, "bfloat16", None),
        ("7b", "NVIDIA H200", None, "float32", None),
        ("mini", "NVIDIA H200", None, "bfloat16", None),
    ],
)
def test_goals_hold_for_the_machine_they_were_set_for(monkeypatch, shapes, gpu, layers, dtype, first):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: gpu)
    engine = SimpleNamespace(device="cuda:0", dtype=dtype, quantization="none")
    goals = random_bench.goals(SimpleNamespace(random_weights=shapes, layers=layers), engine)
    assert goals.get(stage_timing.FIRST) == first


def test_the_table_shows_limits_and_gains_only_where_there_are_some():
    row = Timing("first query", [20.0, 20.0], 30.0, share=0.5, reference_ms=[300.0, 100.0]).as_dict()
    header, _, line = random_bench.table([row]).splitlines()
    assert header.split() == ["stage", "p50", "p95", "n", "share", "limit", "x", "limit", "reference", "gain", "remark"]
    assert line.split()[2:] == ["20.0", "ms", "20.0", "ms", "2", "50", "%", "30", "ms", "0.67", "200.0", "ms", "10.0x"]
    plain = random_bench.table([Timing("copy", [1.0]).as_dict(), {"stage": "peak", "p50_ms": None, "unit": "GB"}])
    assert "limit" not in plain and plain.splitlines()[-1].split() == ["peak", *"------"]


def test_in_a_hurry_a_first_run_over_the_budget_is_the_measurement():
    calls = []
    assert len(measure(lambda: calls.append(1), repeats=5, warmup=3, budget_s=-1.0, at_least=1, hurry=True)) == 1
    assert len(calls) == 1
    calls.clear()
    assert len(measure(lambda: calls.append(1), repeats=5, warmup=3, budget_s=-1.0, at_least=1)) == 1
    assert len(calls) == 4


def test_peak_memory_is_of_the_time_since_its_restart():
    memory = PeakMemory(torch.device("cpu"))
    if memory.bytes() is None:
        pytest.skip("this system does not tell")
    memory.restart()
    at_rest = memory.bytes()  # not 0: under pressure the system takes pages of libraries away from this process
    block = mmap.mmap(-1, 200_000_000)  # not from the heap, where other tests may have left that much free
    np.frombuffer(block, np.uint8)[:] = 1
    del block
    peak = memory.bytes()
    assert peak - at_rest > 150_000_000
    memory.restart()
    assert memory.bytes() < peak - 100_000_000
