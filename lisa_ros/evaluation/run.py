"""Asks an engine every question of an evaluation set and measures the answers: the whole of an evaluation on one page.

    a picture is encoded once -> all its questions are asked in one batch -> an answer's masks together meet the truth

Several processes share a set without a word between them: each picture belongs to exactly one of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lisa_ros.datasets.example import DatasetError, EvaluationItem, EvaluationSet
from lisa_ros.evaluation.metrics import IGNORE, overlap
from lisa_ros.evaluation.packed_mask import pack_mask
from lisa_ros.evaluation.protocol import check_choices, question, truth
from lisa_ros.evaluation.rows import AnswerRow, ItemRow, Share, append_row, begin_file, own_file, read_rows


def score_items(
    engine: Any,
    evaluation_set: EvaluationSet,
    *,
    mode: str = "mask",
    protocol: str = "lisa",
    wording: str = "lisa",
    limit: int | None = None,
    share: Share = (0, 1),
    rows_path: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> list[ItemRow]:
    """Score this process's pictures of a set and return their rows by ascending index.

    Args:
        engine: a `lisa_ros.engine.Engine` (anything with `encode` and `ask`).
        mode: "mask": the answer "[SEG]." is forced, as in the paper. "chat": the model writes; the union of all its
            [SEG] is the answer, without one it is empty.
        protocol, wording: see `lisa_ros.evaluation.protocol`.
        limit: only the first so many pictures of the set.
        share: (rank, world) of this process. Rows of other processes are not returned.
        rows_path: finished rows are appended to a file here (see `rows.own_file`), and those of an earlier call with
            the same settings are not made again.
        settings: what the rows depend on besides the arguments, such as a digest of the weights; JSON values.
        progress: wraps the indices that are left to do, e.g. `tqdm.tqdm`.

    Raises:
        DatasetError: the set is empty, or an item is damaged. RowsError: `rows_path` holds rows of another run.
        ValueError: an unknown mode, protocol or wording, a limit below 1, or a question that the model cannot take.
    """
    check_choices(mode=mode, protocol=protocol, wording=wording)
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}: at least one picture")
    if not len(evaluation_set):
        raise DatasetError(
            f"{evaluation_set.name} {evaluation_set.split}: there is no picture in it; is it the right split?"
        )
    rank, world = share
    count = min(limit or len(evaluation_set), len(evaluation_set))
    mine = range(rank, count, world)
    done: dict[int, ItemRow] = {}
    if rows_path is not None:
        about = run_settings(engine, evaluation_set, mode=mode, protocol=protocol, wording=wording) | dict(
            settings or {}
        )
        begin_file(own_file(rows_path, share), about)
        done = read_rows(rows_path, about)
    for index in progress([index for index in mine if index not in done]):
        done[index] = ask_item(
            engine, evaluation_set.evaluation_item(index), index, mode=mode, protocol=protocol, wording=wording
        )
        if rows_path is not None:
            append_row(own_file(rows_path, share), done[index])
    return [done[index] for index in mine]


def run_settings(
    engine: Any, evaluation_set: EvaluationSet, *, mode: str, protocol: str, wording: str
) -> dict[str, Any]:
    """What the rows of a run depend on, as far as this module knows. Rows with others are not continued."""
    return {
        "model": engine.name,
        "device": str(engine.device).partition(":")[0],
        "dtype": engine.dtype,
        "min_target_probability": engine.min_target_probability,
        "set": evaluation_set.name,
        "split": evaluation_set.split,
        "pictures_in_set": len(evaluation_set),
        "mode": mode,
        "protocol": protocol,
        "wording": wording,
    }


def ask_item(engine: Any, item: EvaluationItem, index: int, *, mode: str, protocol: str, wording: str) -> ItemRow:
    """Ask all questions of one picture in one batch and measure the answers. Arguments and errors: `score_items`."""
    _check(item)
    started = time.perf_counter()
    raw = wording == "lisa"
    queries = [
        question(text, sentence=sentence) if raw else text.strip() for text, sentence in zip(item.texts, item.sentences)
    ]
    try:
        said = engine.ask(engine.encode(item.image), queries, mode=mode, raw=raw)
    except ValueError as error:
        raise ValueError(f"{item.name}: {error}") from error
    row = ItemRow(index, item.name, time.perf_counter() - started)
    for text, query, kind, target, one in zip(item.texts, queries, item.kinds, item.targets, said, strict=True):
        target = truth(target, protocol)
        mask = one.masks.any(axis=0) if len(one.masks) else np.zeros(target.shape, bool)
        measured = overlap(mask, target)
        row.answers.append(
            AnswerRow(
                text=text,
                query=query,
                kind=kind,
                target_pixels=int(np.count_nonzero((target != 0) & (target != IGNORE))),
                found=bool(mask.any()),
                intersection=measured.intersection,
                union=measured.union,
                answer=one.answer,
                target_probability=float(one.target_probability),
                mask=pack_mask(mask),
            )
        )
    return row


def _check(item: EvaluationItem) -> None:
    """Raises DatasetError when an item's parts do not belong together."""
    asked = len(item.texts)
    wanted = (asked, *item.image.shape[:2])
    if item.targets.shape != wanted:
        raise DatasetError(
            f"{item.name}: the truth is {list(item.targets.shape)}, but {asked} questions about a picture of "
            f"{item.image.shape[0]} x {item.image.shape[1]} need {list(wanted)}: picture and annotation do not belong "
            "together"
        )
    if not len(item.sentences) == len(item.kinds) == asked:
        raise DatasetError(
            f"{item.name}: {asked} questions, but {len(item.sentences)} times sentence-or-not and "
            f"{len(item.kinds)} kinds"
        )
