"""What a model understands by a sentence alone: how often the kind it would name first serves the use that is asked for.

    python benchmarks/understood_uses.py [--model lisa-mini] [--count 600]

Every sentence stands in front of an empty picture, so nothing but language says what is meant; what a picture shows makes the choice smaller. Sentences
of training and of the test split are counted apart, and those of uses that training holds out. A few minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lisa_ros.engine import resolve_model
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.prompt import CONVERSATIONS, user_turn
from lisa_ros.model.tokenizer import IMAGE_ID, LisaTokenizer
from scannet_tools.synthetic.kinds import USES, Use

TOGETHER = 32  # prompts in one pass


class Asked:
    """Prompts and answers of one model, as token ids, the picture left out."""

    def __init__(self, lisa: Lisa, tokenizer: LisaTokenizer) -> None:
        self.lisa, self.tokenizer = lisa, tokenizer
        self.conversation, self.template = CONVERSATIONS[lisa.config.conversation], lisa.config.query_template

    def ids(self, sentence: str, answer: str | None = None) -> list[int]:
        whole = self.conversation.render([(user_turn(sentence, self.template), answer)])
        return [token for token in self.tokenizer.encode_prompt(whole) if token != IMAGE_ID]

    def first_tokens(self, use: Use) -> set[int]:
        """What the names of the kinds that serve begin with."""
        behind = len(self.ids("?"))
        return {self.ids("?", kind)[behind] for kind in use.kinds}

    @torch.inference_mode()
    def named_first(self, sentences: list[str]) -> Iterator[int]:
        """The most probable token behind each prompt."""
        for first in range(0, len(sentences), TOGETHER):
            prompts = [torch.tensor(self.ids(sentence)) for sentence in sentences[first : first + TOGETHER]]
            hidden = self.lisa.model(self.lisa.model.embed_tokens(pad_sequence(prompts, batch_first=True)))  # padding stands behind what is read
            last = hidden[torch.arange(len(prompts)), torch.tensor([len(prompt) - 1 for prompt in prompts])]
            yield from self.lisa.lm_head(last).argmax(-1).tolist()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lisa-mini")
    parser.add_argument("--count", type=int, default=600, help="at most so many sentences of training")
    args = parser.parse_args()
    asked = Asked(*load_checkpoint(resolve_model(args.model)))
    serving = {use: asked.first_tokens(use) for use in USES}
    sets = {
        "training's": [(s, use) for use in USES if not use.held_out for s in use.said],
        "the test's": [(s, use) for use in USES if not use.held_out for s in use.unseen],
        "held-out uses": [(s, use) for use in USES if use.held_out for s in use.unseen],
    }
    for name, rows in sets.items():
        rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[: args.count]]
        named = tqdm(asked.named_first([sentence for sentence, _ in rows]), total=len(rows), desc=name, disable=None)
        right = np.mean([token in serving[use] for token, (_, use) in zip(named, rows)])
        print(f"{name:>14}: a kind that serves is named for {right:.0%} of {len(rows)} sentences")
    return 0


if __name__ == "__main__":
    sys.exit(main())
