"""`lisa eval synthetic` and `lisa bench` with a stand-in for the model: what they print and write."""
from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
from fakes import ColorEngine, boxes_frame

from lisa_ros.cli import bench, checkpoint
from lisa_ros.cli import eval as eval_command
from lisa_ros.cli.main import main
from lisa_ros.evaluation.timing import Timing, measure


@pytest.fixture(autouse=True)
def fakes(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "scannet_tools.synthetic", SimpleNamespace(make_frame=boxes_frame))
    for command in (bench, eval_command):
        monkeypatch.setattr(command, "load_engine", lambda args, **options: ColorEngine())
    monkeypatch.setattr(checkpoint, "locate", lambda model: tmp_path)


def test_eval_prints_both_baselines_and_writes_the_report(tmp_path, capsys):
    out = tmp_path / "reports" / "eval.json"
    assert main(["eval", "synthetic", "--count", "3", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if line and line[0] not in " ─"}
    assert rows["relational"][1:4] == ["3", "1.000", "1.000"]
    assert "largest object" in printed and "best constant" in printed
    assert "absent targets refused: 100.0 % of 3; present ones refused wrongly: 25.0 % of 12" in printed
    report = json.loads(out.read_text())
    assert report["kinds"]["use"]["giou"] == 0.0 and report["count"] == 3
    assert len((tmp_path / "reports" / "eval.rows.jsonl").read_text().splitlines()) == 4


def test_eval_refuses_a_count_of_zero(capsys):
    assert main(["eval", "synthetic", "--count", "0"]) == 2
    assert main(["eval"]) == 2
    capsys.readouterr()


def test_bench_measures_every_stage_with_limits(tmp_path, capsys):
    out = tmp_path / "bench.json"
    assert main(["bench", "--no-node", "--repeats", "3", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    written = json.loads(out.read_text())
    stages = [row["stage"] for row in written["rows"]]
    asked = ["encode", "first query", "further query", "batch of 8", "chat answer"]
    assert stages == [*asked, "lift 64x48", "lift 1296x968", "oriented box"]
    assert all(stage in printed for stage in stages)
    assert all(0 < row["p50_ms"] <= row["p95_ms"] for row in written["rows"] if row["stage"].startswith("lift"))
    assert written["rows"][-2]["limit_ms"] == 30.0
    assert printed.startswith("lisa bench --no-node --repeats 3") and "machine:" in printed and "color-engine" in printed


def test_bench_needs_runs_enough_for_a_percentile(capsys):
    assert main(["bench", "--repeats", "2"]) == 2
    assert "--repeats" in capsys.readouterr().err


def test_ratios_are_of_the_median_to_the_limit():
    cells = bench._cells({**Timing("lift", [10.0, 20.0, 60.0], 40.0).as_dict()})
    assert cells[:6] == ("lift", "20.0 ms", "56.0 ms", 3, "40 ms", "0.50")


def test_measuring_stops_at_the_budget_but_not_before_three_runs():
    calls = []
    samples = measure(lambda: calls.append(1), repeats=50, warmup=2, budget_s=0.0)
    assert len(samples) == 3 and len(calls) == 5
