"""`lisa bench --random-weights`: a model of true shapes, its stages, its memory, and the reference's way through it."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from lisa_ros.cli.errors import CommandError
from lisa_ros.cli.model import load_options
from lisa_ros.cli.table import render
from lisa_ros.engine import CheckpointError, Engine
from lisa_ros.engine.engine import choose_device
from lisa_ros.engine.precision import choose_dtype
from lisa_ros.engine.prompting import Prompter
from lisa_ros.evaluation import stage_timing
from lisa_ros.evaluation.memory import PeakMemory
from lisa_ros.evaluation.random_weights import random_lisa, weight_bytes
from lisa_ros.evaluation.reference_way import ReferenceWay
from lisa_ros.model.config import LisaConfig

HEIGHT, WIDTH = 480, 640
QUERIES = tuple(
    f"Where is the thing that {rest}?"
    for rest in (
        "cuts paper",
        "keeps drinks cold",
        "tells time",
        "makes light",
        "holds books",
        "opens doors",
        "plays music",
        "dries hands",
    )
)
GOALS_MS = {stage_timing.FIRST: 30.0, stage_timing.FURTHER: 8.0, stage_timing.ANSWER_NEW: 150.0}
"""For 7B in bfloat16 on an H200; 13B may take twice as long."""
GOAL_GAIN = 10.0
"""Over the reference's way, where those goals apply."""
GOAL_SCALE = {"7b": 1.0, "13b": 2.0}
HEADERS = ("stage", "p50", "p95", "n", "share", "limit", "x limit", "reference", "gain", "remark")


@dataclass
class RandomBench:
    """A built model, and what building it took."""

    args: argparse.Namespace
    engine: Engine
    reference: ReferenceWay
    prompter: Prompter
    config: LisaConfig
    memory: PeakMemory
    weight_bytes: int
    build_bytes: int | None

    @classmethod
    def build(cls, args: argparse.Namespace) -> RandomBench:
        """The model of `--random-weights`; one that cannot be built here ends the command and says why."""
        print(f"building {args.random_weights} with random weights ...", file=sys.stderr, flush=True)
        options = load_options(args)
        quantization, compiled = options.get("quantization", "none"), options.get("compile", False)
        try:
            device = choose_device(args.device)
            dtype = choose_dtype(args.dtype, device)
            memory = PeakMemory(device)
            lisa, tokenizer = random_lisa(
                args.random_weights, device=device, dtype=dtype, layers=args.layers, quantization=quantization
            )
        except (CheckpointError, ValueError) as error:
            raise CommandError(f"--random-weights {args.random_weights}: {error}") from error
        conversation = options.get("conversation", lisa.config.conversation)
        if "clip_fit" in options:
            lisa.config = dataclasses.replace(lisa.config, clip_fit=options["clip_fit"])
        return cls(
            args=args,
            engine=Engine(lisa, tokenizer, conversation=conversation, quantization=quantization, compile=compiled),
            reference=ReferenceWay(lisa, tokenizer, conversation=conversation),
            prompter=Prompter(lisa.config, tokenizer, conversation),
            config=lisa.config,
            memory=memory,
            weight_bytes=weight_bytes(lisa),
            build_bytes=memory.bytes(),
        )

    def lines(self) -> list[str]:
        """What stands above the table."""
        prefix = self.prompter.prefix_length
        question = len(self.prompter.prompt(QUERIES[0], self.config.query_template).own)
        ids = "of lisa-mini's tokenizer" if self.args.random_weights == "mini" else "of a stand-in for the tokenizer"
        return [
            f"weights: {self.engine.quantization if self.engine.quantization != 'none' else self.engine.dtype}, "
            f"{'compiled' if self.args.compile else 'not compiled'}",
            f"input: noise, {WIDTH}x{HEIGHT}; {prefix} positions of prefix and {question} of question, ids {ids}",
            "reference: as the published code works (its evaluation; its chat.py for answers), on the same layers",
        ]

    def rows(self) -> list[dict[str, Any]]:
        """Measure; stderr shows which row is under way."""
        color = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        with tqdm(desc="lisa bench", bar_format="{desc}: {elapsed} {postfix}") as bar:
            compared = stage_timing.compare(
                self.engine,
                self.reference,
                color,
                QUERIES,
                repeats=self.args.repeats,
                memory=self.memory,
                compiled=bool(self.args.compile),
                on_row=bar.set_postfix_str,
            )
        limits = goals(self.args, self.engine)
        for timing in compared.timings:
            timing.limit_ms = limits.get(timing.stage)
            if limits and timing.stage == stage_timing.ANSWER_NEW:
                timing.remark += f"; goal: gain {GOAL_GAIN:g}x"
        peaks = self._memory_rows(compared.peak, compared.reference_peak)
        return [timing.as_dict() for timing in compared.timings] + peaks

    def _memory_rows(self, peak: int | None, reference_peak: int | None) -> list[dict[str, Any]]:
        over = "allocated on the GPU" if self.engine.device.startswith("cuda") else "growth of the process"
        rows = [
            {"stage": "weights", "p50_ms": self.weight_bytes / 1e9, "remark": "all of the model"},
            {"stage": "peak, building", "p50_ms": _gigabytes(self.build_bytes), "remark": over},
            {
                "stage": "peak, asking",
                "p50_ms": _gigabytes(peak),
                "reference_p50_ms": _gigabytes(reference_peak),
                "remark": f"{over}; one process for both",
            },
        ]
        return [{**row, "unit": "GB"} for row in rows]


def goals(args: argparse.Namespace, engine: Engine) -> dict[str, float]:
    """Row -> limit in ms, where there is one: 7B and 13B, whole and in bfloat16, on an H200."""
    scale = GOAL_SCALE.get(args.random_weights)
    on_h200 = engine.device.startswith("cuda") and "H200" in torch.cuda.get_device_name(engine.device)
    whole = args.layers is None and engine.quantization == "none" and engine.dtype == "bfloat16"
    return {row: scale * goal for row, goal in GOALS_MS.items()} if scale and on_h200 and whole else {}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as text; without limits there is no column for them."""
    limited = any(row.get("limit_ms") for row in rows)
    headers = [name for name in HEADERS if limited or "limit" not in name]
    cells = [[value for name, value in _cells(row).items() if name in headers] for row in rows]
    return render(headers, cells, align="l" + "r" * (len(headers) - 2) + "l")


def _cells(row: dict[str, Any]) -> dict[str, str | None]:
    unit = row.get("unit", "ms")
    value, limit, reference = row["p50_ms"], row.get("limit_ms"), row.get("reference_p50_ms")
    known = value is not None
    return {
        "stage": row["stage"],
        "p50": _quantity(value, unit),
        "p95": _quantity(row.get("p95_ms"), unit),
        "n": row.get("n"),
        "share": f"{100 * row['share']:.0f} %" if "share" in row else None,
        "limit": None if limit is None else f"{limit:g} {unit}",
        "x limit": f"{value / limit:.2f}" if limit and known else None,
        "reference": _quantity(reference, unit),
        "gain": f"{reference / value:.1f}x" if reference and known else None,
        "remark": row.get("remark") or "",
    }


def _quantity(value: float | None, unit: str) -> str | None:
    if value is None:
        return None
    digits = 2 if unit == "GB" else 1 if value < 1000 else 0
    return f"{value:.{digits}f} {unit}"


def _gigabytes(count: int | None) -> float | None:
    return None if count is None else count / 1e9
