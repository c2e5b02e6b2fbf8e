"""Pages that name things of the code name the ones that exist."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_parameter_table_is_the_code():
    pytest.importorskip("rclpy")
    from lisa_ros.node.parameters import PARAMETERS

    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (.+?) \| (.+?) \|$", page("docs/interfaces.md"), re.MULTILINE)
    described = {name: (default, text, changes) for name, default, text, changes in rows if name in {p.name for p in PARAMETERS}}
    assert list(described) == [p.name for p in PARAMETERS]
    for parameter in PARAMETERS:
        default, text, changes = described[parameter.name]
        assert text.startswith(parameter.description), parameter.name
        assert changes == parameter.changes
        value = parameter.default
        assert default == (str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)), parameter.name


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
