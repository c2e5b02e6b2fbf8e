"""Validation in the middle of a run: the model as it is, asked like a finished one, gIoU over all processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from lisa_ros.datasets.example import EvaluationSet
from lisa_ros.datasets.opening import open_evaluation_set
from lisa_ros.engine import Engine
from lisa_ros.evaluation.run import score_items
from lisa_ros.evaluation.summary import Summary, summarise_rows
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.training.recipe import Validation


@dataclass
class Validator:
    """A set to score on. settings: how."""

    questions: EvaluationSet
    settings: Validation

    @classmethod
    def open(cls, validation: Validation | None, root: Path) -> Validator | None:
        """None where a recipe asks for no validation. Raises DatasetError when the set is not there."""
        if validation is None:
            return None
        return cls(open_evaluation_set(validation.set, root, validation.split), validation)

    @property
    def name(self) -> str:
        return f"{self.questions.name} {self.questions.split}"

    def score(self, lisa: Lisa, tokenizer: LisaTokenizer, accelerator: Accelerator) -> Summary:
        """The figures of the whole set; every picture is scored by one process. Threshold of refusal: none, as in the paper."""
        training = lisa.training
        lisa.eval()
        try:
            with torch.no_grad():
                engine = Engine(lisa, tokenizer)
                engine.min_target_probability = 0.0
                share = (accelerator.process_index, accelerator.num_processes)
                how = self.settings
                rows = score_items(engine, self.questions, limit=how.limit, wording=how.wording, share=share)
        finally:
            lisa.train(training)
        return summarise_rows(gather_object(rows))
