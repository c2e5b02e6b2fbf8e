"""`./run` without its long part: which ROS it takes, what it exports, and that an interrupted set-up is never half used.

The script is sourced by bash from a copy in a temporary directory, pip and apt are replaced by bash functions that record their
arguments. A sourced ROS 2 is imitated by what its setup.bash sets: ROS_DISTRO, AMENT_PREFIX_PATH, and PYTHONPATH with an rclpy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FAKE_PIP = """
create_venv() { "$1" -m venv --without-pip "${@:2}"; }  # a tenth of the time
missing_packages() { :; }
patch_ros_wheels() { :; }
build_package() { build_key >"$state/build.stamp"; echo build >>"$root/calls"; }
pip_install() { echo "pip $*" >>"$root/calls"; }
"""


@pytest.fixture
def checkout(repository, tmp_path) -> Path:
    """A copy of everything that `run` reads."""
    root = tmp_path / "checkout"
    root.mkdir()
    for name in ("run", "CMakeLists.txt", "package.xml"):
        shutil.copy2(repository / name, root / name)
    for name in ("requirements", "msg", "srv", "action", "interfaces", "launch", "config", "scripts"):
        shutil.copytree(repository / name, root / name)
    for name in ("lisa_ros", "scannet_tools"):
        (root / name).mkdir()
        (root / name / "__init__.py").touch()
    return root


@pytest.fixture
def sourced_ros(tmp_path) -> dict[str, str]:
    """The environment after sourcing a ROS 2 whose rclpy was built against numpy 1.26.4."""
    prefix = tmp_path / "opt/ros/jazzy"
    site = prefix / "lib/python3/site-packages"
    (site / "rclpy").mkdir(parents=True)
    (site / "rclpy/__init__.py").touch()
    (site / "numpy").mkdir()
    (site / "numpy/__init__.py").write_text("__version__ = '1.26.4'\n")
    return {
        "ROS_DISTRO": "jazzy",
        "AMENT_PREFIX_PATH": str(prefix),
        "CMAKE_PREFIX_PATH": str(prefix),
        "LD_LIBRARY_PATH": str(prefix / "lib"),
        "PYTHONPATH": str(site),
    }


def bash(checkout: Path, code: str, **environment: str) -> subprocess.CompletedProcess:
    """Run bash code after the functions of `run`, in a clean environment whose python3 has neither ROS nor our packages."""
    bin_dir = checkout.parent / "bin"
    bin_dir.mkdir(exist_ok=True)
    if not (bin_dir / "python3").exists():
        (bin_dir / "python3").symlink_to(os.path.realpath(sys.executable))
    clean = {"PATH": f"{bin_dir}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(checkout.parent), "LISA_PYTHON": str(bin_dir / "python3")}
    return subprocess.run(
        ["bash", "-c", f"source ./run\n{code}"],
        cwd=checkout,
        env=clean | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_without_ros_the_wheels_are_taken(checkout):
    done = bash(checkout, 'choose_ros; echo "$mode $state"')
    assert done.stdout.split() == ["wheels", f"{checkout}/.lisa"], done.stderr


def test_a_sourced_ros_is_used_and_not_shadowed(checkout, sourced_ros):
    code = f"""{FAKE_PIP}
    ensure
    echo "$mode"; cat "$state/constraints.txt" >"$root/constraints"; cp "$venv/pyvenv.cfg" "$root"
    printf '%s\\n' "$AMENT_PREFIX_PATH" "$CMAKE_PREFIX_PATH" "$PYTHONPATH" "$LD_LIBRARY_PATH" "${{_ROS_WHEELS_BOOTSTRAP_COMPLETE:-unset}}"
    """
    done = bash(checkout, code, **sourced_ros)
    assert done.returncode == 0, done.stderr
    mode, ament, cmake, python, libraries, guard = done.stdout.splitlines()
    install = f"{checkout}/.lisa/ros-jazzy/install"
    assert mode == "system" and guard == "unset"
    assert ament == f"{install}:{sourced_ros['AMENT_PREFIX_PATH']}"
    assert cmake == f"{install}:{sourced_ros['CMAKE_PREFIX_PATH']}"
    assert libraries == f"{install}/lib:{sourced_ros['LD_LIBRARY_PATH']}"
    assert python.startswith(f"{checkout}:{install}/lib/python3.") and python.endswith(f":{sourced_ros['PYTHONPATH']}")
    assert "include-system-site-packages = true" in (checkout / "pyvenv.cfg").read_text()
    calls = (checkout / "calls").read_text()
    assert "requirements/core.txt" in calls and "ros.txt" not in calls
    constraints = (checkout / "constraints").read_text().splitlines()
    assert [line for line in constraints if line.startswith("numpy==")] == ["numpy==1.26.4"]
    assert [line for line in constraints if line.startswith("opencv")] == ["opencv-python-headless==4.11.0.86"]
    assert [line for line in constraints if line.startswith("pandas")] == ["pandas==2.3.3"]


def test_another_distribution_is_warned_about(checkout, sourced_ros):
    done = bash(checkout, "choose_ros; remark_on_ros", **sourced_ros | {"ROS_DISTRO": "humble"})
    assert "warning" in done.stderr and "humble is untested" in done.stderr


def test_ros_distro_without_rclpy_is_not_a_ros(checkout):
    done = bash(checkout, "choose_ros; remark_on_ros; echo $mode", ROS_DISTRO="jazzy", AMENT_PREFIX_PATH="/opt/ros/jazzy")
    assert done.stdout.strip() == "wheels"
    assert "no python3 on PATH can import rclpy" in done.stderr


def test_inside_our_own_shell_the_choice_stays(checkout):
    """./run shell exports ROS_DISTRO as well; a ./run in there must not take that for a sourced ROS."""
    inside = {"LISA_RUN_ROOT": str(checkout), "LISA_RUN_MODE": "wheels", "ROS_DISTRO": "jazzy", "AMENT_PREFIX_PATH": f"{checkout}/.lisa/venv"}
    assert bash(checkout, "choose_ros; echo $mode", **inside).stdout.strip() == "wheels"


def test_set_up_once_then_again_only_when_something_changed(checkout):
    calls = checkout / "calls"
    assert bash(checkout, FAKE_PIP + "ensure").returncode == 0
    first = calls.read_text()
    assert "requirements/ros.txt" in first and first.endswith("build\n")

    calls.write_text("")
    assert bash(checkout, FAKE_PIP + "ensure").returncode == 0
    assert calls.read_text() == ""

    (checkout / "lisa_ros/new_module.py").touch()
    assert bash(checkout, FAKE_PIP + "ensure").returncode == 0
    assert calls.read_text() == "build\n"

    calls.write_text("")
    with (checkout / "requirements/core.txt").open("a") as file:
        file.write("one-more\n")
    assert bash(checkout, FAKE_PIP + "ensure").returncode == 0
    assert calls.read_text().count("pip ") == first.count("pip ") and calls.read_text().endswith("build\n")


def test_messages_that_the_wheels_lack_are_built_beside_the_package(checkout, sourced_ros):
    ours = f"{checkout}/interfaces/tf2_msgs"
    assert bash(checkout, "choose_ros; missing_interfaces").stdout.split() == [ours]

    theirs = checkout / ".lisa/venv/share/tf2_msgs"
    theirs.mkdir(parents=True)
    assert bash(checkout, "choose_ros; missing_interfaces").stdout == "", "the wheels' own would be shadowed"
    theirs.rmdir()

    done = bash(checkout, "choose_ros; echo $mode; missing_interfaces", **sourced_ros)
    assert done.stdout.split() == ["system"], "the distribution's own would be shadowed"


def test_a_change_in_such_a_message_asks_for_a_build(checkout, sourced_ros):
    code = 'choose_ros; mkdir -p "$state"; echo x >"$venv.stamp"; build_key'
    wheels, system = bash(checkout, code).stdout, bash(checkout, code, **sourced_ros).stdout
    with (checkout / "interfaces/tf2_msgs/msg/TFMessage.msg").open("a") as file:
        file.write("# more\n")
    assert bash(checkout, code).stdout != wheels
    assert bash(checkout, code, **sourced_ros).stdout == system


@pytest.mark.parametrize("also", [".", "src/lisa_ros/interfaces", "src/lisa_ros/*"])
def test_colcon_sees_one_package(repository, tmp_path, also):
    """In a user's workspace: its ROS has a tf2_msgs, ours must not come in between."""
    pytest.importorskip("colcon_ros")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/lisa_ros").symlink_to(repository)
    command = [sys.executable, "-m", "colcon", "--log-base", os.devnull, "list", "--names-only", "--base-paths", "src", also]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["lisa_ros"]


def test_torch_from_another_index(checkout):
    assert bash(checkout, FAKE_PIP + "ensure", LISA_TORCH_INDEX="https://example.invalid/cpu").returncode == 0
    lines = (checkout / "calls").read_text().splitlines()
    (own,) = [number for number, line in enumerate(lines) if "--index-url https://example.invalid/cpu torch==" in line]
    (rest,) = [number for number, line in enumerate(lines) if "core.txt" in line]
    assert own < rest, "the big one would be there already"


def test_a_failed_set_up_is_redone_from_the_start(checkout):
    failing = FAKE_PIP + 'pip_install() { touch "$venv/half"; fail "no network"; }\n'
    done = bash(checkout, failing + "ensure; echo went on")
    assert done.returncode == 1 and "no network" in done.stderr and "went on" not in done.stdout
    assert not (checkout / ".lisa/venv.stamp").exists()

    assert bash(checkout, FAKE_PIP + "ensure").returncode == 0
    assert not (checkout / ".lisa/venv/half").exists(), "the half environment was used"
    assert (checkout / ".lisa/venv.stamp").exists() and not (checkout / ".lisa/venv.incomplete").exists()


def test_an_environment_without_interpreter_is_made_anew(checkout):
    """For instance after the system's Python was upgraded."""
    assert bash(checkout, FAKE_PIP + "ensure").returncode == 0
    for python in (checkout / ".lisa/venv/bin").glob("python*"):
        python.unlink()
    done = bash(checkout, FAKE_PIP + "ensure; python -c 'print(1)'")
    assert done.stdout == "1\n", done.stderr


def test_missing_system_packages_are_named_for_a_user_who_is_not_root(checkout):
    code = 'id() { echo 1000; }\nmode=wheels\nhas_library() { [[ $1 != libGL.so.1 && $1 != libusb* ]]; }\n'
    code += 'apt-get() { echo installed; }\ninstall_packages $(missing_packages "$LISA_PYTHON")'
    done = bash(checkout, code)
    assert done.returncode == 1 and "installed" not in done.stdout
    assert "sudo apt-get install -y --no-install-recommends" in done.stderr
    assert "libgl1 libusb-1.0-0" in done.stderr and "libx11-6" not in done.stderr


def test_domains(checkout):
    """The user's domain is kept, but demo, test and bench have their own."""
    code = FAKE_PIP + 'ensure; echo "$ROS_DOMAIN_ID $ROS_AUTOMATIC_DISCOVERY_RANGE"; isolate; echo "$ROS_DOMAIN_ID $ROS_AUTOMATIC_DISCOVERY_RANGE"'
    done = bash(checkout, code, ROS_DOMAIN_ID="140", ROS_AUTOMATIC_DISCOVERY_RANGE="SUBNET")
    kept, isolated = (line.split() for line in done.stdout.splitlines())
    assert kept == ["140", "SUBNET"]
    assert 1 <= int(isolated[0]) <= 101 and isolated[1] == "LOCALHOST"


def test_help_documents_every_verb(checkout):
    done = subprocess.run(["./run", "help"], cwd=checkout, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert set(re.findall(r"^  ([a-z]+)  ", done.stdout, re.MULTILINE)) == {"demo", "test", "build", "shell", "lisa", "bench", "clean", "help"}


def test_unknown_verb(checkout):
    done = subprocess.run(["./run", "tests"], cwd=checkout, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "'tests'" in done.stderr and "demo test build" in done.stderr
    assert not (checkout / ".lisa").exists()


def test_clean_says_what_it_removes(checkout):
    (checkout / ".lisa/venv").mkdir(parents=True)
    (checkout / "demo_out").mkdir()
    done = subprocess.run(["./run", "clean"], cwd=checkout, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert f"removing {checkout}/.lisa" in done.stderr and f"removing {checkout}/demo_out" in done.stderr
    assert not (checkout / ".lisa").exists() and not (checkout / "demo_out").exists()
    assert (checkout / "lisa_ros").exists()
