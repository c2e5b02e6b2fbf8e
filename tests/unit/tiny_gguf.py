"""A LLaMA of transformers with random weights, and the GGUF file that llama.cpp's tools would make of it."""

import gguf
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lisa_ros.model.gguf_language import LAYER_NAMES, NAMES

HEADS, GROUPS, WIDTH, CONTEXT = 4, 2, 64, 512
CONTROL, NORMAL = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def vocabulary():
    """GPT-2's 256 byte characters, and three merges."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [chr(256 + n) for n in range(256 - len(printable))]
    return [*SPECIAL, *map(chr, printable), *others, "cu", "cup", "Ġcup"], ["c u", "cu p", "Ġ cup"]


def language(tied=True):
    """A LLaMA of transformers with random weights."""
    config = LlamaConfig(
        hidden_size=WIDTH, intermediate_size=96, num_hidden_layers=2, num_attention_heads=HEADS,
        num_key_value_heads=GROUPS, vocab_size=len(vocabulary()[0]), tie_word_embeddings=tied, rope_theta=100000.0,
        rms_norm_eps=1e-5,
    )  # fmt: skip
    torch.manual_seed(0)
    return LlamaForCausalLM(config).eval()


def neighbours(values, heads):
    """llama.cpp's order of a query or key matrix: the two numbers that are turned together lie side by side."""
    index = np.arange(len(values)).reshape(heads, 2, -1).transpose(0, 2, 1).reshape(-1)
    return values[index]


def write(path, model, kind=gguf.GGMLQuantizationType.F32, architecture="llama", pre="smollm", extra=()):
    texts, merges = vocabulary()
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in {
        "embedding_length": WIDTH, "block_count": 2, "feed_forward_length": 96, "context_length": CONTEXT,
        "attention.head_count": HEADS, "attention.head_count_kv": GROUPS,
    }.items():  # fmt: skip
        writer.add_uint32(f"{architecture}.{key}", value)
    writer.add_float32(f"{architecture}.rope.freq_base", 100000.0)
    writer.add_float32(f"{architecture}.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(texts)
    writer.add_token_types([CONTROL if text in SPECIAL else NORMAL for text in texts])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    theirs = {ours: name for name, ours in NAMES.items()}
    for number in range(2):
        theirs |= {f"model.layers.{number}.{b}.weight": f"blk.{number}.{a}.weight" for a, b in LAYER_NAMES.items()}
    for name, value in state.items():
        if "q_proj" in name or "k_proj" in name:
            value = neighbours(value, HEADS if "q_proj" in name else GROUPS)
        if value.ndim == 2 and kind != gguf.GGMLQuantizationType.F32:
            writer.add_tensor(theirs[name], gguf.quants.quantize(value, kind), raw_dtype=kind)
        else:
            writer.add_tensor(theirs[name], value)
    for name in extra:
        writer.add_tensor(name, np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
