"""ReasonSeg: pictures with questions that need thought (paper section 3.2), for training and for evaluation."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from lisa_ros.datasets.example import DatasetError, EvaluationItem, Example, conversation, stack
from lisa_ros.datasets.files import fields_of, listed, read_json
from lisa_ros.datasets.templates import ANSWERS, EXPLANATORY, ask_long, ask_short, pick
from lisa_ros.sources.reasonseg import TARGET, ReasonSegFrame, read_reasonseg

FOLDER = Path("reason_seg") / "ReasonSeg"


class ReasonSeg:
    """Pictures of one or more splits.

    Args:
        split: "train", "val", "test", or several: "train+val".
        rephrased: also learn the wordings that a language model made of the first question.
        explanatory: how often a picture that has an explanation is answered by it alone, without a mask; otherwise half
            of its answers are [SEG] and the explanation. 0: explanations are not read.
        count: wordings a picture in training, at most.
    """

    name = "reasonseg"

    def __init__(
        self, root: Path, split: str = "train", *, rephrased: bool = True, explanatory: float = 0.1, count: int = 3
    ) -> None:
        self.split, self._rephrased, self._explanatory, self._count = split, rephrased, explanatory, count
        folder = Path(root) / FOLDER
        self._files = [file for one in re.split(r"[+|_]", split) for file in _annotated(folder / one)]
        self._explanations: dict[str, str] = {}
        where = folder / "explanatory" / "train.json"
        if explanatory and "train" in split:
            if not where.is_file():
                raise DatasetError(f"{where} is missing: copy it there, or set explanatory to 0")
            for number, item in enumerate(read_json(where)):
                picture, _, text = fields_of(item, f"{where}: item {number}", "image", "query", "outputs")
                self._explanations[picture] = text

    def __len__(self) -> int:
        return len(self._files)

    def example(self, index: int, rng: np.random.Generator) -> Example:
        """Ignored regions are background here, as in the reference's training."""
        path, frame = self._open(index)
        image, mask = frame.frame.color, frame.mask == TARGET
        queries = frame.queries if self._rephrased else frame.queries[:1]
        count = min(self._count, len(queries))
        chosen = rng.choice(len(queries), count, replace=False) if count < len(queries) else range(count)
        explanation = next((self._explanations[n] for n in _picture_names(path) if n in self._explanations), None)
        style = "mask"
        if explanation is not None:
            alone = rng.random() < self._explanatory
            style = "explanation" if alone else ("mask", "both")[int(rng.integers(2))]
        turns = []
        for text in (queries[number] for number in chosen):
            if style == "explanation":
                turns.append(conversation(text, explanation))
            elif style == "both":
                turns.append(conversation(f"{text} {pick(EXPLANATORY, rng)}", f"{pick(ANSWERS, rng)} {explanation}"))
            else:
                asked = ask_long(text, rng) if frame.is_sentence else ask_short(text, rng)
                turns.append(conversation(asked, pick(ANSWERS, rng)))
        masks = [] if style == "explanation" else [mask] * len(turns)
        return Example(str(path), image, path, tuple(turns), stack(masks, *image.shape[:2]))

    def evaluation_item(self, index: int) -> EvaluationItem:
        """The first wording only, as the reference evaluates. Kinds: "long" for sentences, "short" for phrases."""
        path, frame = self._open(index)
        return EvaluationItem(
            name=path.stem,
            image=frame.frame.color,
            texts=frame.queries[:1],
            sentences=(frame.is_sentence,),
            targets=frame.mask[None],
            kinds=("long" if frame.is_sentence else "short",),
        )

    def _open(self, index: int) -> tuple[Path, ReasonSegFrame]:
        path = self._files[index]
        try:
            return path, read_reasonseg(path)
        except (FileNotFoundError, ValueError) as error:
            raise DatasetError(str(error)) from error


def _annotated(folder: Path) -> list[Path]:
    """Annotations of a split. The test split was first published without them: none may be missing unnoticed."""
    files = listed(folder, "*.json")
    bare = {picture.stem for picture in folder.glob("*.jpg")} - {file.stem for file in files}
    if bare:
        raise DatasetError(
            f"{folder / min(bare)}.json is missing, and {len(bare) - 1} more: copy the annotations beside the pictures"
        )
    return files


def _picture_names(path: Path) -> list[str]:
    return [f"{path.stem}{ending}" for ending in (".jpg", ".jpeg", ".png")]
