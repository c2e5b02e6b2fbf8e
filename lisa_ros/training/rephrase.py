"""More wordings of ReasonSeg's training questions (paper section 5.1, where GPT-3.5 wrote them), by any local language model.

The annotation's first text stays what a person wrote. A wording that is empty, longer than a question, the instruction
itself, or one that is there already is dropped and counted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lisa_ros.datasets.example import DatasetError
from lisa_ros.datasets.files import fields_of, read_json
from scannet_tools.aside import written_aside

INSTRUCTION = (
    "Rewrite the question in other words so that it asks for exactly the same thing in the picture. "
    "Answer with the new question alone.\nQuestion: {text}\nNew question:"
)
LONGEST = 3.0  # times as long as the original, and 60 letters more


class Rephraser(Protocol):
    """Whatever can reword texts."""

    def rephrase(self, texts: Sequence[str], count: int) -> list[list[str]]:
        """``count`` tries for each text, unfiltered."""
        ...


class LanguageModel:
    """A causal language model of transformers, asked by INSTRUCTION.

    Args:
        model: directory or hub id. Weights are read from safetensors only, and no code that comes with a model runs.
        seed: of the sampling: equal seeds, texts and model give equal wordings.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        temperature: float = 0.9,
    ) -> None:
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
            self._model = AutoModelForCausalLM.from_pretrained(
                model, trust_remote_code=False, use_safetensors=True, dtype=dtype
            )
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"--model {model}: not a causal language model in safetensors ({str(error).splitlines()[0]})"
            ) from error
        self._model.to(device).eval()
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._device, self._seed, self._temperature = device, seed, temperature

    def rephrase(self, texts: Sequence[str], count: int) -> list[list[str]]:
        prompts = [self._prompt(text) for text in texts]
        inputs = self._tokenizer(prompts, return_tensors="pt", padding=True).to(self._device)
        torch.manual_seed(self._seed)
        with torch.no_grad():
            written = self._model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                do_sample=True,
                temperature=self._temperature,
                top_p=0.95,
                num_return_sequences=count,
                max_new_tokens=64,
                pad_token_id=self._tokenizer.pad_token_id,
            )
        said = self._tokenizer.batch_decode(written[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [said[n * count : (n + 1) * count] for n in range(len(texts))]

    def _prompt(self, text: str) -> str:
        asked = INSTRUCTION.format(text=text)
        if getattr(self._tokenizer, "chat_template", None):
            talk = [{"role": "user", "content": asked}]
            return self._tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
        return asked


def rephrase_folder(
    source: Path,
    out: Path,
    rephraser: Rephraser,
    *,
    wordings: int = 5,
    batch: int = 8,
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> Counter[str]:
    """Write every annotation of ``source`` anew into ``out``, with up to ``wordings`` texts in all. Those that are there are kept.

    Pictures are not copied: ``out`` gets a link to each where the file system allows it, else a copy.

    Returns:
        How many wordings were kept, and how many dropped for which reason.

    Raises:
        DatasetError: an annotation is damaged, or ``out`` is ``source``.
    """
    source, out = Path(source), Path(out)
    if source.resolve() == out.resolve():
        raise DatasetError(f"--out {out} is the data itself, which is never changed; give another folder")
    files = sorted(source.glob("*.json"))
    if not files:
        raise DatasetError(f"{source}: no *.json there; give the folder of a ReasonSeg split")
    out.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    left = [file for file in files if not (out / file.name).exists()]
    chunks = {group[0]: group for group in (left[n : n + batch] for n in range(0, len(left), batch))}
    for first in progress(list(chunks)):
        group = chunks[first]
        data = [_annotation(file) for file in group]
        tried = rephraser.rephrase([item["text"][0] for item in data], 2 * (wordings - 1))
        for file, item, texts in zip(group, data, tried):
            kept = [item["text"][0]]
            for text in texts:
                if len(kept) >= wordings:
                    break
                cleaned, reason = judge(text, kept)
                counts[reason or "kept"] += 1
                if reason is None:
                    kept.append(cleaned)
            _link_picture(file, out)
            with written_aside(out / file.name) as stream:
                stream.write(json.dumps({**item, "text": kept}, ensure_ascii=False, indent=1).encode())
    return counts


def judge(text: str, known: Sequence[str]) -> tuple[str, str | None]:
    """(cleaned wording, why it is dropped or None)."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    cleaned = lines[0].strip("\"'“” ") if lines else ""
    cleaned = re.sub(r"^(new question|question|answer)\s*:\s*", "", cleaned, flags=re.IGNORECASE).strip()
    if not re.search(r"\w", cleaned):
        return cleaned, "empty"
    if "rewrite the question" in cleaned.lower() or "new question" in cleaned.lower():
        return cleaned, "repeats the instruction"
    if len(cleaned) > LONGEST * len(known[0]) + 60:
        return cleaned, "too long"
    if _bare(cleaned) in {_bare(one) for one in known}:
        return cleaned, "not new"
    return cleaned, None


def _bare(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().lower()


def _annotation(file: Path) -> dict[str, Any]:
    data = read_json(file)
    (texts,) = fields_of(data, str(file), "text")
    if not isinstance(texts, list) or not texts or not isinstance(texts[0], str) or not texts[0].strip():
        raise DatasetError(f"{file}: 'text' must be a list of one or more texts")
    return data


def _link_picture(file: Path, out: Path) -> None:
    for ending in (".jpg", ".jpeg", ".png"):
        picture, target = file.with_suffix(ending), out / f"{file.stem}{ending}"
        if picture.is_file() and not target.exists():
            try:
                target.hardlink_to(picture)
            except OSError:
                target.write_bytes(picture.read_bytes())
