"""What one question of the demo came to, as files and as result.json."""
from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lisa_ros.cli.demo.checks import Check
from lisa_ros.cli.demo.inputs import DemoInput, DemoQuery

if TYPE_CHECKING:
    from lisa_ros.cli.demo.client import Reply

NOT_ENGINE = ("wait", "convert", "lift", "clean", "box", "publish")
"""Stages of a result that are the node's or the geometry's work; the others are the engine's."""


@dataclass
class Answer:
    """A question, what came back, and whether that agrees with itself."""

    query: DemoQuery
    reply: Reply
    checks: list[Check]

    @property
    def passed(self) -> bool:
        """True when every check held."""
        return all(check.passed for check in self.checks)

    @property
    def found(self) -> bool:
        """True when the model pointed at something."""
        return self.reply.mask is not None and bool(self.reply.mask.any())

    @property
    def found_text(self) -> str:
        """"yes" or "no", and where the truth is known whether the target is there; a "!" where the two differ."""
        if self.reply.result is None:
            return "no result"
        said = "yes" if self.found else "no"
        if self.query.truth is None:
            return said
        truth = "absent" if self.query.absent else "present"
        return f"{said} ({truth})" if self.found != self.query.absent else f"{said} ({truth}!)"

    @property
    def iou(self) -> float | None:
        """Mask IoU with the ground truth; None where the target is absent or nobody knows it."""
        from lisa_ros.evaluation.metrics import mask_iou

        if self.query.truth is None or self.query.absent or self.reply.mask is None:
            return None
        return mask_iou(self.reply.mask > 0, self.query.truth)

    @property
    def stages(self) -> dict[str, float]:
        """Seconds by stage, in the node's order."""
        return {time.stage: time.seconds for time in self.reply.result.stages} if self.reply.result else {}

    @property
    def engine_seconds(self) -> float:
        """Seconds that the model took."""
        return sum(seconds for stage, seconds in self.stages.items() if stage not in NOT_ENGINE)

    @property
    def lift_seconds(self) -> float:
        """Seconds of lifting, cleaning and boxing."""
        return sum(seconds for stage, seconds in self.stages.items() if stage in ("lift", "clean", "box"))

    @property
    def point_count(self) -> int:
        """Points of its cloud."""
        return 0 if self.reply.points is None else len(self.reply.points)

    @property
    def box_sizes(self) -> list[tuple[float, float, float]]:
        """Size of the oriented box of every lifted instance, metres."""
        instances = self.reply.result.instances if self.reply.result else []
        return [(i.box_size.x, i.box_size.y, i.box_size.z) for i in instances if i.point_count]


def write_outputs(
    out: Path, shown: DemoInput, answers: Sequence[Answer], *, model: str, mode: str, ready_seconds: float
) -> Path:
    """Write pictures, clouds, result.json and the page into `out`; returns the page's path."""
    from lisa_ros.cli.demo.page import write_page
    from lisa_ros.geometry.cloud import Cloud
    from lisa_ros.geometry.ply import write_ply

    _write_png(out / "frame.png", shown.frame.color)
    entries = []
    for q, answer in enumerate(answers):
        reply = answer.reply
        if reply.mask is not None:
            _write_png(out / f"mask_{q}.png", reply.mask)
        if reply.overlay is not None:
            _write_png(out / f"overlay_{q}.png", reply.overlay)
        if reply.points is not None:
            write_ply(out / f"points_{q}.ply", Cloud(reply.points, reply.colors))
        entries.append(_entry(q, answer))
    facts = {
        "input": shown.title,
        **shown.facts,
        "model": next((answer.reply.result.model for answer in answers if answer.reply.result), model),
        "device": next((answer.reply.result.device for answer in answers if answer.reply.result), ""),
        "mode": mode,
        "ready_seconds": round(ready_seconds, 2),
        "note": shown.note,
        "passed": all(answer.passed for answer in answers),
    }
    text = json.dumps({**facts, "answers": entries}, indent=1, ensure_ascii=False)
    _write(out / "result.json", (text + "\n").encode())
    write_page(out / "index.html", shown, answers, facts)
    return out / "index.html"


def _entry(q: int, answer: Answer) -> dict[str, Any]:
    """The entry of result.json of question number q."""
    reply = answer.reply
    result = reply.result
    return {
        "query": answer.query.text,
        "kind": answer.query.kind,
        "status": reply.status,
        "message": result.message if result else "",
        "answer": result.answer if result else "",
        "target_probability": result.target_probability if result else None,
        "found": answer.found,
        "target_present": None if answer.query.truth is None else not answer.query.absent,
        "iou": answer.iou,
        "mask": f"mask_{q}.png" if reply.mask is not None else None,
        "overlay": f"overlay_{q}.png" if reply.overlay is not None else None,
        "points": f"points_{q}.ply" if reply.points is not None else None,
        "pixel_count": 0 if reply.mask is None else int(np.count_nonzero(reply.mask)),
        "point_count": answer.point_count,
        "box_sizes": answer.box_sizes,
        "seconds": {"engine": answer.engine_seconds, "total": reply.seconds, "stages": answer.stages},
        "checks": [vars(check) for check in answer.checks],
        "passed": answer.passed,
    }


def _write_png(path: Path, image: np.ndarray) -> None:
    _write(path, png_bytes(image))


def _write(path: Path, data: bytes) -> None:
    """The file appears complete or not at all."""
    aside = path.with_name(f".{path.name}.part")
    aside.write_bytes(data)
    os.replace(aside, path)


def png_bytes(image: np.ndarray) -> bytes:
    """uint8 [H,W] or [H,W,3] RGB as a PNG."""
    import cv2

    return cv2.imencode(".png", image if image.ndim == 2 else image[:, :, ::-1])[1].tobytes()
