"""`lisa segment`: queries about one picture, answered into a folder (the contract that scripts rely on)."""
from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lisa_ros.cli.errors import CommandError, UsageError
from lisa_ros.cli.live import live_answers
from lisa_ros.cli.model import add_model_flags, load_engine
from lisa_ros.cli.table import render

if TYPE_CHECKING:
    from lisa_ros.engine import Engine
    from lisa_ros.geometry import Frame
    from lisa_ros.perception import PerceivedInstance, Perception

OURS = re.compile(r"result\.json|mask_\d+_\d+\.png|overlay_\d+\.png|points_\d+_\d+\.ply|logits_\d+\.npz")
"""Names of the files this command writes; a second run into the same folder replaces exactly these."""


def main(argv: Sequence[str]) -> int:
    """Answer the queries and write the folder. Not finding a target is an answer, not a failure."""
    args = _parse(argv)
    from lisa_ros.cli.pictures import read_frame

    frame = read_frame(args.image, args.depth, args.camera)
    engine = load_engine(args)
    perceptions = ask(args, engine, frame)
    entries = write_folder(args.out, frame, perceptions, about=_about(args, engine, frame))
    print(_summary(entries))
    print(f"written to {args.out}")
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lisa segment", description="Answer queries about one picture.")
    parser.add_argument("--image", type=Path, required=True, help="the picture (PNG, JPEG, ...)")
    parser.add_argument("--query", action="append", required=True, help="what to look for; may be repeated")
    parser.add_argument("--out", type=Path, required=True, help="folder for result.json, masks, overlays, clouds")
    parser.add_argument("--depth", type=Path, help="16-bit PNG of the same view (any size); needs --camera")
    parser.add_argument("--camera", type=Path, help="JSON: fx fy cx cy width height depth_scale_m; needs --depth")
    parser.add_argument(
        "--mode",
        choices=("mask", "chat"),
        default="mask",
        help="mask: the answer is forced to [SEG]. (default); chat: the model writes it",
    )
    parser.add_argument("--dialogue", action="store_true", help="each --query goes on from those before it (chat mode)")
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="longest answer in chat mode")
    parser.add_argument("--save-logits", action="store_true", help="also write logits_<q>.npz")
    add_model_flags(parser)
    compare = parser.add_argument_group("for comparisons with the reference code")
    compare.add_argument("--raw", action="store_true", help="the query is the whole user turn, no template around it")
    compare.add_argument("--answer", help='teacher-forced answer instead of "[SEG]." (mask mode)')
    args = parser.parse_args(argv)
    if (args.depth is None) != (args.camera is None):
        given, missing = ("--depth", "--camera") if args.camera is None else ("--camera", "--depth")
        raise UsageError(f"{given} needs {missing} as well: lifting takes both")
    if any(not query.strip() for query in args.query):
        raise UsageError("--query is empty: say what to look for")
    if args.answer is not None and args.mode != "mask":
        raise UsageError("--answer is for --mode mask: chat mode writes its own answer")
    if args.dialogue and args.mode != "chat":
        raise UsageError("--dialogue is for --mode chat: in mask mode there are no answers to go on from")
    if args.max_new_tokens is not None and args.max_new_tokens < 1:
        raise UsageError(f"--max-new-tokens is {args.max_new_tokens}: at least 1")
    if args.out.exists() and not args.out.is_dir():
        raise UsageError(f"--out {args.out} is a file: give a folder")
    return args


def ask(args: argparse.Namespace, engine: Engine, frame: Frame) -> list[Perception]:
    """The answers to all queries: in one batch, or one after the other for a dialogue. The frame is encoded once.

    :raises CommandError: the picture or a query cannot be used.
    """
    from lisa_ros.engine import QueryError
    from lisa_ros.perception import perceive

    begin = time.perf_counter()
    try:
        encoded = engine.encode(frame.color)
    except ValueError as error:
        raise CommandError(f"--image {args.image}: {error}") from error
    encode_seconds = time.perf_counter() - begin
    live = live_answers(len(args.query)) if args.mode == "chat" else None
    batches = [[query] for query in args.query] if args.dialogue else [args.query]
    perceptions: list[Perception] = []
    for queries in batches:
        options = _ask_options(args)
        if args.dialogue:
            options["history"] = [(said.query, said.answer) for said in perceptions]
        if live is not None:
            first = len(perceptions)
            options["on_text"] = lambda q, text, first=first: live(first + q, text)
        try:
            perceptions += perceive(engine, frame, queries, encoded=encoded, mode=args.mode, **options)
        except QueryError as error:
            raise CommandError(f"--query: {error}") from error
    for said in perceptions:
        said.seconds["encode"] = encode_seconds
        said.seconds["total"] += encode_seconds
    return perceptions


def _ask_options(args: argparse.Namespace) -> dict[str, Any]:
    """Options of Engine.ask that were given."""
    given = {
        "keep_logits": args.save_logits or None,
        "raw": args.raw or None,
        "answer": args.answer,
        "max_new_tokens": args.max_new_tokens,
    }
    return {name: value for name, value in given.items() if value is not None}


def _about(args: argparse.Namespace, engine: Any, frame: Any) -> dict[str, Any]:
    """What every entry says about the run."""
    return {
        "image": str(args.image),
        "image_size": [frame.color.shape[1], frame.color.shape[0]],
        "model": engine.name,
        "device": engine.device,
        "dtype": engine.dtype,
        "mode": args.mode,
    }


def write_folder(out: Path, frame: Any, perceptions: Sequence[Perception], *, about: dict[str, Any]) -> list[dict[str, Any]]:
    """Write all files of all queries; `out` gets them complete or not at all (result.json last).

    :return: the entries of result.json.
    :raises CommandError: the folder cannot be written.
    """
    aside = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out if out.is_dir() else out.parent))
        entries = [{**_write_query(aside, q, frame, said), **about} for q, said in enumerate(perceptions)]
        (aside / "result.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        _move_in(aside, out)
    except OSError as error:
        raise CommandError(f"cannot write --out {out}: {error.strerror or error}; choose another folder") from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
    return entries


def _move_in(aside: Path, out: Path) -> None:
    """Put the finished files of `aside` where they belong; files of an earlier run go, files of others stay."""
    out.mkdir(exist_ok=True)
    fresh = {path.name for path in aside.iterdir()}
    stale = [path for path in out.iterdir() if OURS.fullmatch(path.name)]
    for path in sorted(stale, key=lambda path: path.name != "result.json"):  # result.json first: it names the others
        path.unlink()
    for name in sorted(fresh, key=lambda name: name == "result.json"):  # and last to appear
        os.replace(aside / name, out / name)


def _write_query(folder: Path, q: int, frame: Any, said: Perception) -> dict[str, Any]:
    """The files of query number q, and its entry of result.json."""
    import cv2

    from lisa_ros.overlay import draw_overlay

    status, message = said.status.name, said.message
    if status == "NO_DEPTH" and frame.depth is None:
        status, message = "FOUND", ""  # nobody asked for points
    entry: dict[str, Any] = {
        "query": said.query,
        "answer": said.answer,
        "status": status,
        "message": message,
        "target_probability": said.target_probability,
        "input_ids": list(said.segmentation.input_ids),
        "output_ids": list(said.segmentation.output_ids),
        "instances": [],
        "overlay": f"overlay_{q}.png",
    }
    for i, instance in enumerate(said.instances):
        entry["instances"].append(_write_instance(folder, q, i, instance))
    overlay = draw_overlay(frame.color, [instance.mask for instance in said.instances])
    _write_png(folder / entry["overlay"], cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))
    if said.segmentation.mask_logits is not None:
        entry["logits"] = f"logits_{q}.npz"
        _write_logits(folder / entry["logits"], said.segmentation)
    entry["timings"] = dict(said.seconds)
    return entry


def _write_instance(folder: Path, q: int, i: int, instance: PerceivedInstance) -> dict[str, Any]:
    """mask_<q>_<i>.png and points_<q>_<i>.ply, and the instance's part of result.json."""
    import numpy as np

    from lisa_ros.geometry.ply import write_ply

    entry: dict[str, Any] = {
        "mask": f"mask_{q}_{i}.png",
        "mask_score": float(instance.mask_score),
        "pixel_count": int(instance.pixel_count),
        "box_2d": [int(side) for side in instance.box_2d],
        "status_3d": instance.status_3d,
        "points": None,
        "point_count": 0 if instance.cloud is None else len(instance.cloud.points),
        "centroid": None if instance.centroid is None else [float(x) for x in instance.centroid],
        "box": None,
    }
    _write_png(folder / entry["mask"], instance.mask.astype(np.uint8) * 255)
    if entry["point_count"]:
        entry["points"] = f"points_{q}_{i}.ply"
        write_ply(folder / entry["points"], instance.cloud)
    if instance.box is not None:
        entry["box"] = {
            "center": [float(x) for x in instance.box.center],
            "quaternion_xyzw": [float(x) for x in instance.box.quaternion()],
            "size": [float(x) for x in instance.box.size],
        }
    return entry


def _write_png(path: Path, image: Any) -> None:
    import cv2

    done, data = cv2.imencode(".png", image)
    if not done:
        raise OSError(f"{path.name} could not be encoded")
    path.write_bytes(data.tobytes())


def _write_logits(path: Path, segmentation: Any) -> None:
    import numpy as np

    np.savez_compressed(
        path,
        mask_logits=segmentation.mask_logits,
        low_res_logits=segmentation.low_res_logits,
        seg_embeddings=segmentation.seg_embeddings,
        input_ids=np.asarray(segmentation.input_ids, np.int64),
        output_ids=np.asarray(segmentation.output_ids, np.int64),
    )


def _summary(entries: Sequence[dict[str, Any]]) -> str:
    rows = []
    for entry in entries:
        boxes = [instance["box"]["size"] for instance in entry["instances"] if instance["box"]]
        rows.append(
            (
                entry["query"],
                entry["answer"],
                entry["status"],
                f"{entry['target_probability']:.2f}",
                sum(instance["pixel_count"] for instance in entry["instances"]),
                sum(instance["point_count"] for instance in entry["instances"]) or None,
                " ".join(" x ".join(f"{side:.2f}" for side in size) for size in boxes) or None,
                f"{1000 * entry['timings'].get('total', sum(entry['timings'].values())):.0f}",
            )
        )
    headers = ("query", "answer", "status", "p", "pixels", "points", "box [m]", "ms")
    return render(headers, rows, align="lllrrrlr")
