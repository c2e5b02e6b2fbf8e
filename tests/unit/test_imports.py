"""The floors of the house: what may import what, read from the source of every module, and checked once by really importing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Part -> the parts that it may import. Imports point down only; nothing imports `node`.
MAY_IMPORT = {
    "geometry": set(),
    "sources": {"geometry", "scannet_tools"},
    "model": {"geometry"},
    "engine": {"geometry", "model"},
    "perception": {"geometry", "engine"},
    "overlay": {"geometry", "perception"},
    "node": {"geometry", "sources", "perception", "engine", "overlay", "scannet_tools"},
    "datasets": {"geometry", "sources", "model", "scannet_tools"},
    # `training` validates with `evaluation`'s scores
    "training": {
        *("geometry", "sources", "datasets", "perception", "engine", "model", "evaluation", "scannet_tools")
    },
    # `evaluation` builds models of random weights and runs them the reference's way, for `lisa bench`
    "evaluation": {"geometry", "sources", "datasets", "perception", "engine", "model", "overlay", "scannet_tools"},
    "scannet_tools": {"geometry", "sources", "scannet_tools.cli"},  # the latter: __main__.py
    "scannet_tools.evaluation": {"geometry", "perception", "evaluation", "scannet_tools"},
    # its verbs take the same --model, --device ... as `lisa`, and `replay` is a door to the node's
    "scannet_tools.cli": {"sources", "engine", "node", "cli", "scannet_tools", "scannet_tools.evaluation"},
    "cli": {
        *("geometry", "sources", "perception", "engine", "model", "overlay", "training", "evaluation"),
        "datasets",
        *("scannet_tools", "scannet_tools.evaluation", "scannet_tools.cli"),
    },
}
# Third-party packages that end at a door -> the parts behind it. `cli` reports versions and reads headers of weight files with torch;
# `evaluation` waits for the GPU before it stops a clock.
CONFINED = {
    "torch": {"model", "engine", "training", "evaluation", "cli"},
    "transformers": {"training"},  # rephrasing with any local causal LM; LLaMA, CLIP and the tokenizer are our own
    "bitsandbytes": {"model"},
    "gguf": {"model"},
    "tokenizers": {"model"},
    "peft": {"training"},
    "rclpy": {"node", "cli"},  # `lisa demo` and `lisa bench` ask a running node
    "launch": set(),
    "launch_ros": set(),
}


def part_of(module: str) -> str | None:
    """The part of the house that a dotted module name belongs to; None when it is somebody else's or generated."""
    names = module.split(".")
    if names[0] == "scannet_tools":
        return ".".join(names[:2]) if ".".join(names[:2]) in MAY_IMPORT else "scannet_tools"
    if names[0] == "lisa_ros" and len(names) > 1 and names[1] in MAY_IMPORT:
        return names[1]
    return None


def imports_of(path: Path) -> list[tuple[int, str]]:
    """Every (line, absolute module name) that a file imports, at any depth of its code."""
    module = path.relative_to(ROOT).with_suffix("").parts
    package = module[:-1]
    found = []
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            # `from lisa_ros import engine` names a part only in its last word
            found += [(node.lineno, ".".join([*base, alias.name])) for alias in node.names]
    return found


def source_files() -> list[Path]:
    files = sorted(path for top in ("lisa_ros", "scannet_tools") for path in (ROOT / top).rglob("*.py"))
    assert len(files) > 20, "the source tree was not found"
    return files


def home_of(path: Path) -> str | None:
    return part_of(".".join(path.relative_to(ROOT).with_suffix("").parts))


def test_every_module_belongs_to_a_part():
    homeless = [str(path.relative_to(ROOT)) for path in source_files() if home_of(path) is None]
    assert homeless == ["lisa_ros/__init__.py"], "add the new part to MAY_IMPORT"


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_imports_point_down(part):
    wrong = []
    for path in source_files():
        if home_of(path) != part:
            continue
        for line, module in imports_of(path):
            target = part_of(module)
            if target not in {None, part} | MAY_IMPORT[part]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not wrong, "imports that point up:\n" + "\n".join(wrong)


@pytest.mark.parametrize("package", sorted(CONFINED))
def test_packages_stop_at_their_door(package):
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in source_files()
        for line, module in imports_of(path)
        if module.split(".")[0] == package and home_of(path) not in CONFINED[package]
    ]
    assert not wrong, f"{package} outside of {sorted(CONFINED[package])}:\n" + "\n".join(wrong)


def test_message_types_stay_in_the_node():
    """ROS messages are the node's business; the rest of the house speaks numpy."""
    ends = ("_msgs", "_srvs")
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in source_files()
        if home_of(path) not in {"node", "cli"}
        for line, module in imports_of(path)
        if module.split(".")[0].endswith(ends) or module.startswith(("lisa_ros.msg", "lisa_ros.srv", "lisa_ros.action"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("lisa_ros.geometry", ["torch", "rclpy", "transformers"]),
        ("lisa_ros.model", ["rclpy"]),
        ("lisa_ros.engine", ["rclpy"]),
        ("lisa_ros.perception", ["rclpy"]),
        ("scannet_tools", ["torch", "rclpy"]),
        ("scannet_tools.synthetic", ["torch", "rclpy"]),
    ],
)
def test_what_an_import_loads(module, forbidden):
    """The same rule at run time, in a fresh interpreter: also what third parties pull in counts."""
    code = f"import sys, {module}; print(*[name for name in {forbidden!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
