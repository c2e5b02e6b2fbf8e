"""What is shipped: one version everywhere, launchers that start, and a wheel that holds the embedded model."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

import lisa_ros

SOURCES = ("lisa_ros", "scannet_tools")


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory) -> zipfile.ZipFile:
    """The wheel that `pip install .` makes, built from a copy, because setuptools leaves build/ behind."""
    tree = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        shutil.copytree(repository / name, tree / name, copy_function=link_or_copy, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(repository / name, tree / name)
    command = [sys.executable, "setup.py", "--quiet", "bdist_wheel", "--compression", "stored"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (path,) = (tree / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


def test_one_version_everywhere(repository):
    package = ElementTree.parse(repository / "package.xml").getroot()
    project = re.search(r'^version = "(.+)"$', (repository / "pyproject.toml").read_text(), re.MULTILINE)
    assert package.findtext("version") == project[1] == lisa_ros.__version__


def test_package_xml(repository):
    package = ElementTree.parse(repository / "package.xml").getroot()
    assert package.findtext("name") == "lisa_ros"
    assert package.findtext("license") == "Apache-2.0"
    assert package.findtext("member_of_group") == "rosidl_interface_packages"
    # every package that an interface file names is declared
    text = "\n".join(path.read_text() for kind in ("msg", "srv", "action") for path in (repository / kind).iterdir())
    used = set(re.findall(r"^\s*([a-z_0-9]+)/[A-Z]\w+", text, re.MULTILINE)) - {"lisa_ros"}
    declared = {element.text for element in package.iter("depend")}
    assert used and used <= declared
    cmake = (repository / "CMakeLists.txt").read_text()
    assert all(f"find_package({name} REQUIRED)" in cmake for name in used)


def test_wheel_holds_every_file(repository, wheel):
    """Also what is not Python: weights, page templates, label tables."""
    shipped = set(wheel.namelist())
    expected = {
        str(path.relative_to(repository))
        for top in SOURCES
        for path in (repository / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert len(expected) > 20
    assert sorted(expected - shipped) == []
    extra = {name for name in shipped if ".dist-info/" not in name}
    assert sorted(extra - expected) == []


def test_wheel_has_the_lisa_command(wheel):
    (entry_points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "lisa = lisa_ros.cli:main" in wheel.read(entry_points).decode()


def test_wheel_holds_the_embedded_model(wheel):
    weights = [item for item in wheel.infolist() if item.filename.startswith("lisa_ros/assets/lisa-mini/") and item.filename.endswith(".safetensors")]
    assert weights, "no weights"
    assert 1e6 < sum(item.file_size for item in weights) <= 60e6


@pytest.mark.parametrize("name", ["lisa", "lisa_node", "lisa_record", "lisa_replay"])
def test_launchers(repository, name):
    """Executable, found through PATH's python3, and made of a module that exists."""
    path = repository / "scripts" / name
    text = path.read_text()
    assert os.access(path, os.X_OK)
    assert text.startswith("#!/usr/bin/env python3\n")
    (module,) = re.findall(r"^from (\S+) import main$", text, re.MULTILINE)
    source = repository / Path(*module.split("."))
    assert source.with_suffix(".py").exists() or (source / "__init__.py").exists()
    assert f"scripts/{name}" in (repository / "CMakeLists.txt").read_text()


def test_requirements_are_pinned(repository):
    """Each direct requirement has its exact version in constraints.txt (torch in core.txt)."""
    folder = repository / "requirements"
    pinned = {line.split("==")[0] for line in (folder / "constraints.txt").read_text().splitlines() if "==" in line}
    for file in ("core.txt", "build.txt", "ros.txt"):
        for line in (folder / file).read_text().splitlines():
            name = re.match(r"[A-Za-z0-9_-]*", line)[0]
            if name and name != "torch":
                assert name in pinned, f"{name} of {file}"
    assert re.search(r"^torch==\d+\.\d+\.\d+\b", (folder / "core.txt").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("given", "rounds"), [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")])
def test_torchs_threads_leave_the_cores_to_others_unless_the_user_says_how_they_wait(given, rounds):
    environment = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    look = "import os, sys, lisa_ros; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], env=environment | given, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [rounds, "False"], done.stderr
