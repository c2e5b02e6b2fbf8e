"""Ways through the attention of SAM's image encoder (ViT-H), whose scores carry a bias by relative row and column.

    python benchmarks/sam_attention.py [--device cpu] [--dtype float32] [--heads 16] [--repeats 5] [--json FILE]

- written out: the reference's way. Scores in memory, bias added, softmax, times the values.
- bias as mask: the bias [cells,cells] in memory, handed to scaled_dot_product_attention as its mask.
- in rows: the same for a few rows of the grid at a time, so that only a part of the bias exists.
- folded in: the bias is a dot product too, so it becomes further channels of query and key; no [cells,cells] exists.
- flex: a compiled kernel that looks the bias up (torch's flex_attention; needs a compiler; left out unless named).
- image_encoder.py: what the package runs, its projections left out.

One block attends globally (4096 cells), one in 25 windows of 196. Every way runs in a process of its own, which is how
its peak memory is known. About two minutes on two cores.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from lisa_ros.evaluation.memory import PeakMemory  # noqa: E402
from lisa_ros.model.sam.image_encoder import Attention  # noqa: E402

HEAD_DIM = 80
BLOCKS = {"global": (1, 64), "windowed": (25, 14)}  # windows, side of each
ROWS_AT_A_TIME = 8


@dataclass
class Result:
    """Of one way through one block."""

    block: str
    way: str
    ms: float
    peak_mb: float | None
    deviation: float | None = None


def main() -> int:
    """0."""
    args = parse()
    if args.worker:
        return work(args)
    results = [result for block in BLOCKS for result in compare(args, block)]
    print(report(args, results))
    if args.json:
        args.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n", encoding="utf-8")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--heads", type=int, default=16, help="ViT-H has 16; fewer for a quick look")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=[way for way in WAYS if way != "flex"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", nargs=3, metavar=("BLOCK", "WAY", "OUT"), help=argparse.SUPPRESS)
    return parser.parse_args()


def compare(args: argparse.Namespace, block: str) -> list[Result]:
    """All ways through one block; deviations are from the written out way in float32."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        first = run(args, block, "written out", Path(folder) / "exact", dtype="float32")[1]
        for way in args.ways:
            result, output = run(args, block, way, Path(folder) / "out", dtype=args.dtype)
            result.deviation = float(np.abs(output - first).max())
            results.append(result)
            print(f"{block}, {way}: {result.ms:.0f} ms", file=sys.stderr)
    return results


def run(args: argparse.Namespace, block: str, way: str, out: Path, dtype: str):
    """One way in a process of its own: what it measured, and its output."""
    command = [sys.executable, __file__, "--device", args.device, "--dtype", dtype, "--heads", str(args.heads)]
    command += ["--repeats", str(args.repeats), "--worker", block, way, str(out)]
    subprocess.run(command, check=True)
    measured = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    return Result(block, way, **measured), np.load(out.with_suffix(".npy"))


def report(args: argparse.Namespace, results: list[Result]) -> str:
    threads = f", {torch.get_num_threads()} threads" if args.device == "cpu" else ""
    lines = [
        f"torch {torch.__version__} on {args.device}{threads}, {args.dtype}, {args.heads} heads of {HEAD_DIM}",
        "",
        "| block | way | fastest run | of written out | peak memory | largest deviation |",
        "|---|---|---|---|---|---|",
    ]
    written_out = {result.block: result.ms for result in results if result.way == "written out"}
    for result in results:
        ratio = f"{result.ms / written_out[result.block]:.2f}" if result.block in written_out else ""
        peak = "not measured" if result.peak_mb is None else f"{result.peak_mb:.0f} MB"
        lines.append(
            f"| {result.block} | {result.way} | {result.ms:.1f} ms | {ratio} | {peak} | {result.deviation:.1e} |"
        )
    return "\n".join(lines)


# The ways take q, k, v [windows,heads,cells,HEAD_DIM] and bias_h, bias_w [windows,heads,cells,side]; they return what
# the cells attended to, [windows,heads,cells,HEAD_DIM].
def written_out(q, k, v, bias_h, bias_w):
    windows, heads, cells, side = bias_h.shape
    scores = (q * HEAD_DIM**-0.5) @ k.transpose(-2, -1)
    scores = scores.view(windows, heads, cells, side, side) + bias_h[..., :, None] + bias_w[..., None, :]
    return scores.view(windows, heads, cells, cells).softmax(-1) @ v


def bias_as_mask(q, k, v, bias_h, bias_w):
    mask = (bias_h[..., :, None] + bias_w[..., None, :]).flatten(-2)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def in_rows(q, k, v, bias_h, bias_w):
    step = ROWS_AT_A_TIME * bias_h.shape[-1]
    parts = zip(q.split(step, 2), bias_h.split(step, 2), bias_w.split(step, 2), strict=True)
    return torch.cat([bias_as_mask(part, k, v, part_h, part_w) for part, part_h, part_w in parts], 2)


def folded_in(q, k, v, bias_h, bias_w):
    windows, heads, _, side = bias_h.shape
    here = torch.eye(side, dtype=k.dtype, device=k.device)
    row, column = here.repeat_interleave(side, 0), here.repeat(side, 1)
    q = torch.cat([q * HEAD_DIM**-0.5, bias_h, bias_w], -1)
    k = torch.cat([k, torch.cat([row, column], -1).expand(windows, heads, -1, -1)], -1)
    v = F.pad(v, (0, 2 * side))  # the fast kernels want one width for all three
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)[..., :HEAD_DIM]


def flex(q, k, v, bias_h, bias_w):
    side = bias_h.shape[-1]

    def biased(score, window, head, query, key):
        return score + bias_h[window, head, query, key // side] + bias_w[window, head, query, key % side]

    return compiled_flex()(q, k, v, score_mod=biased)


@functools.cache
def compiled_flex():
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)


WAYS = {
    "written out": written_out,
    "bias as mask": bias_as_mask,
    "in rows": in_rows,
    "folded in": folded_in,
    "flex": flex,
    "image_encoder.py": None,
}


def work(args: argparse.Namespace) -> int:
    """In the process of one way: run it, write its times, its peak memory and its output."""
    block, way, out = args.worker
    windows, side = BLOCKS[block]
    torch.manual_seed(0)
    call = packed_way(way, windows, side, args)
    memory = PeakMemory(torch.device(args.device))
    memory.restart()
    samples = []
    with torch.inference_mode():
        for _ in range(args.repeats + 1):
            started = time.perf_counter()
            output = call()
            if args.device != "cpu":
                torch.cuda.synchronize()
            samples.append(1000 * (time.perf_counter() - started))
    peak = memory.bytes()
    measured = {"ms": min(samples[1:]), "peak_mb": None if peak is None else peak / 1e6}
    Path(out).with_suffix(".json").write_text(json.dumps(measured), encoding="utf-8")
    np.save(Path(out).with_suffix(".npy"), output.float().cpu().numpy())
    return 0


def packed_way(way: str, windows: int, side: int, args: argparse.Namespace):
    """A call without arguments that runs a way on seeded inputs and returns [windows,side,side,heads*HEAD_DIM]."""
    width = args.heads * HEAD_DIM
    attention = Attention(width, args.heads, side)
    packed = torch.randn(windows, side, side, 3 * width)
    nn.init.normal_(attention.rel_pos_h, std=0.05)
    nn.init.normal_(attention.rel_pos_w, std=0.05)
    dtype = getattr(torch, args.dtype)
    attention, packed = attention.to(args.device, dtype), packed.to(args.device, dtype)
    if way == "image_encoder.py":
        attention.qkv, attention.proj = Given(packed), nn.Identity()
        return lambda: attention(packed[..., :width])

    steps = torch.arange(side, device=args.device)
    distance = steps[:, None] - steps[None, :] + side - 1
    table_h, table_w = attention.rel_pos_h[distance], attention.rel_pos_w[distance]

    def call():
        q, k, v = packed.view(windows, side * side, 3, args.heads, HEAD_DIM).permute(2, 0, 3, 1, 4).unbind(0)
        grid = q.unflatten(2, (side, side))
        bias_h = torch.einsum("bnhwc,hkc->bnhwk", grid, table_h).flatten(2, 3)
        bias_w = torch.einsum("bnhwc,wkc->bnhwk", grid, table_w).flatten(2, 3)
        out = WAYS[way](q, k, v, bias_h, bias_w)
        return out.transpose(1, 2).reshape(windows, side, side, width)

    return call


class Given(nn.Module):
    """Stands where a projection would be computed."""

    def __init__(self, result: torch.Tensor) -> None:
        super().__init__()
        self._result = result

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._result


if __name__ == "__main__":
    sys.exit(main())
