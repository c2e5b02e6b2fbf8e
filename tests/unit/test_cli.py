"""The `lisa` command as a whole: help without heavy imports, exit statuses, tables."""
from __future__ import annotations

import subprocess
import sys

import pytest

from lisa_ros.cli.errors import CommandError, UsageError
from lisa_ros.cli.main import COMMANDS, main
from lisa_ros.cli.table import render


def test_help_names_every_sub_command_and_loads_neither_torch_nor_rclpy():
    code = (
        "import sys; from lisa_ros.cli.main import main; main(['--help']); "
        "print('heavy:', sorted({'torch', 'rclpy', 'numpy', 'cv2', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stdout
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "train"])
def test_every_sub_command_has_its_own_help(name, capsys):
    assert main([name, "--help"]) == 0
    assert f"lisa {name}" in capsys.readouterr().out


def test_unknown_sub_commands_are_usage_errors(capsys):
    assert main(["segmnet"]) == 2
    assert "no sub-command 'segmnet'" in capsys.readouterr().err
    assert main([]) == 2


@pytest.mark.parametrize(("raised", "status"), [(CommandError("broken"), 1), (UsageError("wrong"), 2), (KeyboardInterrupt(), 130)])
def test_errors_become_one_line_and_an_exit_status(monkeypatch, capsys, raised, status):
    def fail(argv):
        raise raised

    monkeypatch.setattr("lisa_ros.cli.info.main", fail)
    assert main(["info"]) == status
    assert capsys.readouterr().err.count("\n") == 1


def test_a_table_keeps_its_width_and_every_word():
    text = render(("question", "n"), [("the red mug that stands left of the laptop on the desk", 3), ("a", None)], align="lr", width=30)
    lines = text.split("\n")
    assert max(map(len, lines)) <= 30
    assert "laptop" in text and lines[0].split() == ["question", "n"]
    assert lines[-1].split() == ["a", "-"]


def test_a_table_aligns_columns():
    lines = render(("name", "ms"), [("a", "5"), ("longer", "123")], align="lr", width=80).split("\n")
    assert lines == ["name     ms", "──────  ───", "a         5", "longer  123"]
