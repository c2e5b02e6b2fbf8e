"""How far this package is from the reference code on the recordings in tests/golden: the table of docs/performance.md.

    python benchmarks/parity.py [--json FILE]

Prints markdown: token ids, [SEG] embeddings, mask logits and masks of every recorded case and run (fp32, CPU); the
preprocessed pictures; the tokenizer's strings. Exits with 1 when something is outside the tolerances that the tests
hold. About half a minute.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from golden import CASES, CHECKPOINT, GOLDEN, VISION_TOWER, Case, read_case  # noqa: E402
from PIL import Image  # noqa: E402

from lisa_ros.engine import Engine, Segmentation  # noqa: E402
from lisa_ros.model.preprocessing import preprocess  # noqa: E402
from lisa_ros.model.tokenizer import LisaTokenizer  # noqa: E402
from lisa_ros.model.vocabulary import SentencePieces  # noqa: E402

EMBEDDING_TOLERANCE, LOGIT_TOLERANCE = 1e-4, 1e-3
SURE = 1e-3
"""Where a logit is nearer to 0 than this, rounding decides on which side of the mask's edge a pixel falls."""
FORCED_ANSWERS = {
    "forced_two_seg": "Sure, [SEG] and it is [SEG].",
    "forced_seg_last": "It is [SEG]",
    "forced_seg_first": "[SEG]",
    "forced_no_seg": "The sky is clear.",
}
"""Runs in which the reference's generation was made to say these tokens: here the answer is given as text."""


@dataclass
class Row:
    """One run of one case. Deviations are the largest absolute ones; None without masks."""

    case: str
    run: str
    ids_equal: bool
    instances: int
    seg_embeddings: float | None
    low_res: float | None
    logits: float | None
    pixels: int
    pixels_differing: int

    @property
    def good(self) -> bool:
        """Within the tolerances."""
        return (
            self.ids_equal
            and self.pixels_differing == 0
            and (self.seg_embeddings or 0) <= EMBEDDING_TOLERANCE
            and max(self.low_res or 0, self.logits or 0) <= LOGIT_TOLERANCE
        )


def main() -> int:
    """0; 1 when a figure is outside its tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    args = parser.parse_args()
    rows = list(case_rows())
    pictures, strings = picture_rows(), tokenizer_rows()
    print(f"torch {torch.__version__}, CPU, float32\n")
    print(cases_table(rows))
    print("\n" + pictures_table(pictures))
    print("\n" + tokenizer_table(strings))
    if args.json:
        content = {"cases": [asdict(row) for row in rows], "pictures": pictures, "tokenizer": strings}
        args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    good = all(row.good for row in rows)
    good &= all(picture["clip_equal"] and picture["sam_equal"] for picture in pictures)
    good &= all(part["equal"] == part["count"] for part in strings)
    if not good:
        print("\nNot everything is within its tolerance.")
    return 0 if good else 1


def case_rows() -> Iterator[Row]:
    """Every recorded case: teacher-forced, generated, and generated with the tokens forced."""
    engines: dict[str, Engine] = {}
    for name in CASES:
        case = read_case(name)
        conversation = case.about["conv_type"]
        if conversation not in engines:
            engines[conversation] = Engine.load(
                CHECKPOINT, vision_tower=VISION_TOWER, conversation=conversation, device="cpu", dtype="float32"
            )
        engine, query = engines[conversation], [case.about["user_text"]]
        encoded = engine.encode(case.image)

        def ask(engine=engine, encoded=encoded, query=query, **options) -> Segmentation:
            return engine.ask(encoded, query, raw=True, keep_logits=True, **options)[0]

        yield compare(case, name, "tf", case.arrays["tf/input_ids"][0], ask(answer=case.about["answer"]))
        for run, about in case.about["runs"].items():
            key = f"eval/{run}"
            recorded = case.arrays[f"{key}/output_ids"][0]
            if about["forced"] is None:
                yield compare(case, name, key, recorded, ask(mode="chat", max_new_tokens=about["max_new_tokens"]))
            else:
                segmentation = ask(answer=FORCED_ANSWERS[run])
                # the reference's forced run may stop before the </s> that closes a given answer
                segmentation.output_ids = segmentation.output_ids[: len(recorded) - len(segmentation.input_ids)]
                yield compare(case, name, key, recorded, segmentation)


def compare(case: Case, name: str, key: str, recorded_ids: np.ndarray, mine: Segmentation) -> Row:
    """A segmentation beside what was recorded under a key."""
    arrays = case.arrays
    ids_equal = mine.input_ids + mine.output_ids == recorded_ids.tolist()
    count = len(arrays[f"{key}/seg_embeddings"])
    run = "teacher-forced" if key == "tf" else key.removeprefix("eval/").replace("_", " ")
    if len(mine.masks) != count:
        return Row(name, run, False, len(mine.masks), np.inf, np.inf, np.inf, mine.masks.size, mine.masks.size)
    if count == 0:
        return Row(name, run, ids_equal, 0, None, None, None, 0, 0)
    differing = (mine.masks != case.masks(f"{key}/pred_masks_bits")) & (np.abs(mine.mask_logits) >= SURE)
    return Row(
        case=name,
        run=run,
        ids_equal=ids_equal,
        instances=count,
        seg_embeddings=deviation(mine.seg_embeddings, arrays[f"{key}/seg_embeddings"]),
        low_res=deviation(mine.low_res_logits, arrays[f"{key}/low_res"][:, 0]),
        logits=deviation(mine.mask_logits[:, ::16, ::16], arrays[f"{key}/pred_masks_every16"]),
        pixels=mine.masks.size,
        pixels_differing=int(differing.sum()),
    )


def deviation(mine: np.ndarray, recorded: np.ndarray) -> float:
    return float(np.abs(mine - recorded).max())


def picture_rows() -> list[dict]:
    """Both towers' inputs of every recorded picture, compared bit by bit."""
    rows = []
    for path in sorted(GOLDEN.glob("image_*.npz")):
        name = path.stem.removeprefix("image_")
        image = np.asarray(Image.open(GOLDEN / f"{name}.png").convert("RGB"))
        inputs = preprocess(image, 224, 1024)
        with np.load(path) as recorded:
            rows.append(
                {
                    "picture": name,
                    "size": [image.shape[1], image.shape[0]],
                    "clip_equal": np.array_equal(inputs.clip, recorded["clip_pixel_values"]),
                    "sam_equal": np.array_equal(inputs.sam, recorded["sam_resized_u8"])
                    and list(inputs.resized) == recorded["resize"].tolist(),
                }
            )
    return rows


def tokenizer_rows() -> list[dict]:
    """Recorded strings and prompts, for both values of the tokenizer's legacy flag."""
    recorded = json.loads((GOLDEN / "tokenizer.json").read_text(encoding="utf-8"))
    whole = LisaTokenizer.from_directory(CHECKPOINT)
    rows = []
    for key, legacy in (("ckpt", True), ("ckpt_legacy_false", False)):
        tokenizer = LisaTokenizer(SentencePieces(CHECKPOINT / "tokenizer.model", legacy), whole.added_tokens)
        strings = [tokenizer.encode(item["text"]) == item["ids"] for item in recorded[key]["strings"]]
        prompts = [tokenizer.encode_prompt(item["prompt"]) == item["ids"] for item in recorded[key]["prompts"]]
        for kind, equal in (("strings", strings), ("prompts", prompts)):
            rows.append({"legacy": legacy, "kind": kind, "count": len(equal), "equal": sum(equal)})
    return rows


def cases_table(rows: list[Row]) -> str:
    limits = f"seg_embeddings (limit {EMBEDDING_TOLERANCE:g}) | low_res (limit {LOGIT_TOLERANCE:g})"
    lines = [
        f"| case | run | ids | masks | {limits} | full-size logits (limit {LOGIT_TOLERANCE:g}) | pixels that differ |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ids = "equal" if row.ids_equal else "DIFFER"
        figures = " | ".join("-" if x is None else f"{x:.1e}" for x in (row.seg_embeddings, row.low_res, row.logits))
        pixels = f"{row.pixels_differing} of {row.pixels:,}" if row.instances else "-"
        lines.append(f"| {row.case} | {row.run} | {ids} | {row.instances} | {figures} | {pixels} |")
    worst = [max((getattr(row, name) or 0.0) for row in rows) for name in ("seg_embeddings", "low_res", "logits")]
    figures = " | ".join(f"{x:.1e}" for x in worst)
    differing, pixels = sum(row.pixels_differing for row in rows), sum(row.pixels for row in rows)
    equal, masks = sum(row.ids_equal for row in rows), sum(row.instances for row in rows)
    lines.append(f"| worst | {len(rows)} runs | {equal} equal | {masks} | {figures} | {differing} of {pixels:,} |")
    return "\n".join(lines)


def pictures_table(rows: list[dict]) -> str:
    lines = ["| picture | size | CLIP input | SAM input |", "|---|---|---|---|"]
    for row in rows:
        same = ["bit-identical" if row[key] else "DIFFERS" for key in ("clip_equal", "sam_equal")]
        lines.append(f"| {row['picture']} | {row['size'][0]}x{row['size'][1]} | {' | '.join(same)} |")
    return "\n".join(lines)


def tokenizer_table(rows: list[dict]) -> str:
    lines = ["| tokenizer | recorded | equal |", "|---|---|---|"]
    for row in rows:
        lines.append(f"| legacy {str(row['legacy']).lower()} | {row['count']} {row['kind']} | {row['equal']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
