"""The node's own cost: query in to result out without the engine, and the CPU share of an idle node at camera rate.

    python benchmarks/node.py [--model lisa-mini] [--json FILE]

The node is a process of its own, as on a robot; this process is camera and client. Without --model the engine is the
fake one of the
tests (colour threshold): the node does not know the difference. About 15 seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

OVERHEAD_LIMIT_MS = 15.0
IDLE_LIMIT_PERCENT = 15.0
RATE = 30.0
NOT_ENGINE = ("wait", "convert", "lift", "publish")


def main() -> int:
    """0; 1 when the node did not answer."""
    args = parse()
    try:
        with running_node(args.model) as (node, client):
            rows = [*overhead(client, args.queries), idle(client, node.pid, args.seconds)]
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return 1
    if args.json:
        args.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")
    show(rows)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="", help="a real model instead of the fake engine")
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long the idle node is watched")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    return parser.parse_args()


def environment() -> None:
    """A domain of our own on this machine, and room for camera frames in shared memory; before rclpy is imported."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["ROS_DOMAIN_ID"] = str(random.randint(1, 101))
    os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(ROOT / "config" / "fastdds.xml"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))


@contextmanager
def running_node(model: str):
    """(process of the node, a Client that is connected to it) in a domain of their own.

    TimeoutError of the block is raised again with the end of what the node said. model: "" = the fake engine.
    """
    environment()
    import rclpy

    command = ["-m", "lisa_ros.node.main", "--ros-args", "-p", f"model:={model}"]
    if not model:
        command = [str(ROOT / "tests/ros/fake_node.py")]
    rclpy.init()
    with tempfile.TemporaryFile("w+") as log:
        node = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log, start_new_session=True)
        try:
            client = Client()
            client.connect(node)
            yield node, client
        except TimeoutError as error:
            log.seek(0)
            raise TimeoutError(f"{error}\n{log.read()[-2000:]}") from None
        finally:
            os.killpg(node.pid, signal.SIGINT)
            try:
                node.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(node.pid, signal.SIGKILL)
            rclpy.try_shutdown()


class Client:
    """Camera and user."""

    def __init__(self) -> None:
        import rclpy
        from lisa_ros.msg import SegmentationResult
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from sensor_msgs.msg import CameraInfo, Image
        from std_msgs.msg import String

        self.node = rclpy.create_node("node_benchmark")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        qos = QoSProfile(depth=5)
        self.color = self.node.create_publisher(Image, "color/image_raw", qos)
        self.depth = self.node.create_publisher(Image, "depth/image_raw", qos)
        self.info = self.node.create_publisher(CameraInfo, "color/camera_info", qos)
        self.query = self.node.create_publisher(String, "lisa/query", qos)
        self.result = None
        self.received = 0.0
        kept = QoSProfile(depth=5, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.results = self.node.create_subscription(SegmentationResult, "lisa/result", self._take, kept)

    def _take(self, result) -> None:
        self.result, self.received = result, time.perf_counter()

    def until(self, condition, seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: nothing for {seconds:g} s")
            self.executor.spin_once(timeout_sec=0.05)

    def connect(self, node: subprocess.Popen) -> None:
        publishers = (self.color, self.depth, self.info, self.query)

        def matched() -> bool:
            if node.poll() is not None:
                raise TimeoutError(f"the node ended with status {node.returncode}")
            return all(p.get_subscription_count() for p in publishers) and self.results.get_publisher_count() > 0

        self.until(matched, 90.0, "waiting for the node")

    def show(self, messages) -> None:
        stamp = self.node.get_clock().now().to_msg()
        for publisher, message in zip((self.info, self.depth, self.color), messages):
            message.header.stamp = stamp
            publisher.publish(message)

    def ask(self, text: str) -> float:
        """Seconds from publishing the query to receiving its result."""
        from std_msgs.msg import String

        self.result = None
        begun = time.perf_counter()
        self.query.publish(String(data=text))
        self.until(lambda: self.result is not None and self.result.query == text, 60.0, f'query "{text}"')
        return self.received - begun


def camera_messages(width: int, height: int, depth_size: tuple[int, int]):
    """camera_info, depth and colour: a red box of a sixth of the picture at 1 m before a grey wall, with noise on the
    depth.
    """
    import numpy as np
    from std_msgs.msg import Header

    from lisa_ros.geometry import Camera
    from lisa_ros.node import messages

    header = Header(frame_id="camera_color_optical_frame")
    color = np.full((height, width, 3), 90, np.uint8)
    color[height // 4 : 3 * height // 4, width // 3 : 2 * width // 3] = (255, 0, 0)
    w, h = depth_size
    depth = np.random.default_rng(0).normal(2000, 3, (h, w))
    depth[h // 4 : 3 * h // 4, w // 3 : 2 * w // 3] -= 1000
    camera = Camera(0.9 * width, 0.9 * width, (width - 1) / 2, (height - 1) / 2, width, height)
    return (
        messages.to_camera_info(header, camera),
        messages.to_image(header, depth.astype(np.uint16), "16UC1"),
        messages.to_image(header, color, "rgb8"),
    )


def overhead(client: Client, count: int) -> list[dict]:
    """A fresh 640x480 frame and one query, `count` times."""
    messages = camera_messages(640, 480, (640, 480))
    node_seconds, lift_seconds = [], []
    for number in range(count + 3):
        client.show(messages)
        time.sleep(0.04)
        took = client.ask(f"the red box {number}")
        if number < 3:
            continue  # first imports and allocations
        if client.result.status != 0:
            raise TimeoutError(f"query {number} ended with status {client.result.status}: {client.result.message}")
        stages = {stage.stage: stage.seconds for stage in client.result.stages}
        node_seconds.append(took - sum(seconds for name, seconds in stages.items() if name not in NOT_ENGINE))
        lift_seconds.append(stages["lift"])
    points = client.result.instances[0].point_count
    without_lift = [whole - lift for whole, lift in zip(node_seconds, lift_seconds)]
    return [
        row(
            "query in to result out minus engine",
            node_seconds,
            OVERHEAD_LIMIT_MS,
            f"640x480, {points} points lifted, two processes",
        ),
        row("  the same without lifting", without_lift, None, "convert, publish, DDS both ways"),
    ]


def idle(client: Client, pid: int, seconds: float) -> dict:
    """CPU share of the node while a camera publishes 1296x968 rgb8 + 640x480 16UC1 and nobody asks."""
    messages = camera_messages(1296, 968, (640, 480))
    period, ticks = 1.0 / RATE, os.sysconf("SC_CLK_TCK")
    shares, due = [], time.perf_counter()
    last_time, last_cpu = None, 0.0
    end = due + seconds + 1.0
    while due < end:
        client.show(messages)
        due += period
        time.sleep(max(0.0, due - time.perf_counter()))
        now = time.perf_counter()
        if last_time is None or now - last_time >= 1.0:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            cpu = (int(fields[11]) + int(fields[12])) / ticks
            if last_time is not None:
                shares.append((cpu - last_cpu) / (now - last_time))
            last_time, last_cpu = now, cpu
    client.ask("the red box at last")
    if client.result.header.stamp != messages[2].header.stamp:
        raise TimeoutError("the node answered about an older frame than the last one sent: frames were lost")
    shares = [share / 10 for share in shares]  # row() multiplies by 1000: percent
    return row(
        "idle node, share of a core", shares, IDLE_LIMIT_PERCENT, f"{RATE:g} Hz 1296x968 rgb8 + 640x480 16UC1", unit="%"
    )


def row(stage: str, seconds: list[float], limit: float | None, remark: str, unit: str = "ms") -> dict:
    import numpy as np

    p50, p95 = (float(value) for value in np.percentile(np.array(seconds) * 1000, (50, 95)))
    return {
        "stage": stage,
        "p50_ms": p50,
        "p95_ms": p95,
        "n": len(seconds),
        "limit_ms": limit,
        "unit": unit,
        "remark": remark,
    }


def show(rows: list[dict]) -> None:
    print(f"{'':40} {'p50':>9} {'p95':>9} {'limit':>9} {'ratio':>6}  remark   (load {os.getloadavg()[0]:.1f})")
    for r in rows:
        limit = f"{r['limit_ms']:g} {r['unit']}" if r["limit_ms"] else ""
        ratio = f"{r['p50_ms'] / r['limit_ms']:.2f}" if r["limit_ms"] else ""
        print(
            f"{r['stage']:40} {r['p50_ms']:6.1f} {r['unit']:>2} {r['p95_ms']:6.1f} {r['unit']:>2} "
            f"{limit:>9} {ratio:>6}  {r['remark']}"
        )


if __name__ == "__main__":
    sys.exit(main())
