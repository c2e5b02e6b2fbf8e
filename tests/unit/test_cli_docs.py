"""Pages that name things of the code name the ones that exist."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def parameter_table() -> str:
    from lisa_ros.node.parameters import PARAMETERS

    rows = ["| parameter | default | meaning | may change |", "|---|---|---|---|"]
    for parameter in PARAMETERS:
        value = parameter.default
        value = '""' if value == "" else value
        default = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
        limits = f" {parameter.low:g} to {parameter.high:g}." if parameter.low is not None else ""
        choices = (*parameter.choices, "empty") if parameter.optional else parameter.choices
        limits = f" One of {', '.join(choices)}." if parameter.choices else limits
        rows.append(f"| `{parameter.name}` | {default} | {parameter.description}{limits} | {parameter.changes} |")
    return "\n".join(rows) + "\n"


def test_the_parameter_table_is_the_code():
    pytest.importorskip("rclpy")
    assert parameter_table() in page("docs/interfaces.md"), "run: python tests/unit/test_cli_docs.py (it rewrites the table)"


def test_the_status_table_is_the_message():
    text = (ROOT / "msg" / "SegmentationResult.msg").read_text(encoding="utf-8")
    constants = re.findall(r"^uint8 (\w+)=(\d)", text, re.MULTILINE)
    assert re.findall(r"^\| (\w+) \((\d)\) \|", page("docs/interfaces.md"), re.MULTILINE) == constants


def test_links_between_pages_lead_somewhere():
    for name in ("README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/interfaces.md", "docs/performance.md", "docs/training.md"):
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page(name)) + re.findall(r'src="(?!https?://)([^"]+)"', page(name)):
            assert ((ROOT / name).parent / target).exists(), f"{name}: {target}"


def test_the_readme_names_every_sub_command():
    from lisa_ros.cli.main import COMMANDS

    text = page("README.md")
    assert all(f"lisa {name}" in text for name in COMMANDS)


if __name__ == "__main__":
    head, _ = page("docs/interfaces.md").split("| parameter | default |", 1)
    (ROOT / "docs" / "interfaces.md").write_text(head + parameter_table(), encoding="utf-8")
