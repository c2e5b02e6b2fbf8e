"""A sentencepiece vocabulary for a model trained from scratch, in the published checkpoints' tokenizer layout."""

from __future__ import annotations

import io
import json
from pathlib import Path

import sentencepiece

from lisa_ros.model.prompt import CONVERSATIONS
from lisa_ros.model.tokenizer import IMAGE_END, IMAGE_START, SEG
from scannet_tools.synthetic.kinds import KINDS
from scannet_tools.synthetic.palette import COLORS
from scannet_tools.synthetic.uses import USES
from scannet_tools.synthetic.wordings import USUAL

RELATIONS = ("left of the", "right of the", "on the left", "on the right", "closest to the camera", "furthest from the camera", "thing on the", "object on the")


def corpus() -> list[str]:
    """Sentences in the wordings of the training split, every kind and colour included."""
    nouns = [noun for kind in KINDS for noun in (kind.name, *kind.synonyms)]
    lines = []
    for index, noun in enumerate(nouns):
        for step, color in enumerate(COLORS):
            template = USUAL.sentences[(index + step) % len(USUAL.sentences)].replace("{the}", "the {x}")
            lines.append(template.replace("{x}", f"{color} {noun}"))
            lines += [f"It is the {color} {noun}.", f"There is no {color} {noun} here.", f"It is the {color} {noun} and the {color} {nouns[index - 1]}."]
        lines += [f"{noun} {relation} {nouns[index - 1]}" for relation in RELATIONS]
    for use in USES:
        lines += [*use.said, use.absent] * 12
    system = " ".join(conversation.system for conversation in CONVERSATIONS.values())
    return lines + [f"{system} USER: hello ASSISTANT: yes"] * 60


def write_tokenizer(directory: Path, size: int) -> int:
    """Train on ``corpus`` and write tokenizer.model, tokenizer_config.json and added_tokens.json. Unknown words fall back to bytes.

    Returns:
        The vocabulary size, added tokens included.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_writer=model, vocab_size=size, model_type="bpe", byte_fallback=True,
        character_coverage=1.0, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, normalization_rule_name="identity",
        remove_extra_whitespaces=False, minloglevel=2, num_threads=1, hard_vocab_limit=False,
    )  # fmt: skip
    (directory / "tokenizer.model").write_bytes(model.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).vocab_size()
    added = {SEG: pieces, IMAGE_START: pieces + 1, IMAGE_END: pieces + 2}
    (directory / "added_tokens.json").write_text(json.dumps(added, indent=1) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "LlamaTokenizer", "legacy": True, "add_bos_token": True, "add_eos_token": False, "model_max_length": 512}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    return pieces + len(added)
