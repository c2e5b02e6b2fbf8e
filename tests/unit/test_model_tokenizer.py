"""Token ids against those the reference's tokeniser (transformers 4.31) gave."""

import json
import shutil

import pytest
from golden import CHECKPOINT, GOLDEN

from lisa_ros.model.tokenizer import LisaTokenizer, TokenizerError

RECORDED = json.loads((GOLDEN / "tokenizer.json").read_text(encoding="utf-8"))


@pytest.fixture(params=["ckpt", "ckpt_legacy_false"])
def recorded(request, tmp_path):
    """The checkpoint's tokenizer, as published (``legacy`` true) and with the settings of LLaVA-1.5's (false)."""
    for name in ("tokenizer.model", "added_tokens.json", "tokenizer_config.json"):
        shutil.copyfile(CHECKPOINT / name, tmp_path / name)
    if request.param == "ckpt_legacy_false":
        shutil.copyfile(GOLDEN / "tokenizer_config.legacy_false.json", tmp_path / "tokenizer_config.json")
    return LisaTokenizer.from_directory(tmp_path), RECORDED[request.param]


def test_every_recorded_string(recorded):
    tokenizer, record = recorded
    assert len(record["strings"]) == 54
    for string in record["strings"]:
        assert tokenizer.encode(string["text"]) == string["ids"], string["text"]
        assert tokenizer.encode(string["text"], add_bos=False) == string["ids_nospecial"], string["text"]


def test_every_recorded_prompt(recorded):
    tokenizer, record = recorded
    assert record["prompts"]
    for prompt in record["prompts"]:
        text = prompt["prompt"] if "prompt" in prompt else prompt["text"]
        assert tokenizer.encode_prompt(text) == prompt["ids"], text


def test_sizes_and_special_ids():
    tokenizer = LisaTokenizer.from_directory(CHECKPOINT)
    assert tokenizer.seg_id == 1000
    assert tokenizer.vocab_size == 1003


def test_decode_reads_like_text():
    tokenizer = LisaTokenizer.from_directory(CHECKPOINT)
    ids = tokenizer.encode("Sure, [SEG].</s>")
    assert tokenizer.decode(ids, skip_special=True) == "Sure, [SEG]."


def test_a_directory_without_tokenizer_is_named(tmp_path):
    with pytest.raises(TokenizerError, match="tokenizer.model is missing"):
        LisaTokenizer.from_directory(tmp_path)


def test_a_plain_language_model_has_no_seg(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes((CHECKPOINT / "tokenizer.model").read_bytes())
    with pytest.raises(TokenizerError, match=r"no \[SEG\]"):
        _ = LisaTokenizer.from_directory(tmp_path).seg_id
