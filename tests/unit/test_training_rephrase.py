"""Rephrasing: a real (tiny, random) language model through the whole command, and what is done with what one says."""

import json
import shutil

import pytest
from training_runs import bench  # noqa: F401 - a fixture

from lisa_ros.cli.main import main
from lisa_ros.datasets.example import DatasetError
from lisa_ros.datasets.opening import open_dataset
from lisa_ros.datasets.reasoning import FOLDER
from lisa_ros.training.rephrase import judge, rephrase_folder


class Scripted:
    def __init__(self, *texts):
        self.texts, self.asked = texts, []

    def rephrase(self, texts, count):
        self.asked += texts
        return [list(self.texts) for _ in texts]


@pytest.mark.parametrize(
    ("text", "kept", "reason"),
    [
        ("Which thing holds a drink?", "Which thing holds a drink?", None),
        ('"Which thing holds a drink?"\nI hope this helps!', "Which thing holds a drink?", None),
        ("New question: Which thing holds a drink?", "Which thing holds a drink?", None),
        ("  \n", None, "empty"),
        ("...", None, "empty"),
        ("what can i drink from", None, "not new"),
        ("Rewrite the question in other words", None, "repeats the instruction"),
        ("very " * 60 + "long", None, "too long"),
    ],
)
def test_what_is_kept_and_why_not(text, kept, reason):
    cleaned, why = judge(text, ["What can I drink from?"])
    assert why == reason and (kept is None or cleaned == kept)


def test_a_split_is_copied_with_new_wordings_and_never_changed(bench, tmp_path):  # noqa: F811
    source, out = bench / "data" / FOLDER / "train", tmp_path / "out" / FOLDER / "train"
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    scripted = Scripted("Where is it?", "where is it", "", "And what is it for?", "One more", "Another", "Too many")
    counts = rephrase_folder(source, out, scripted, wordings=4, batch=2)
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    pictures = len(list(source.glob("*.json")))
    assert counts == {"kept": 3 * pictures, "not new": pictures, "empty": pictures}
    for path in out.glob("*.json"):
        texts = json.loads(path.read_text(encoding="utf-8"))["text"]
        assert texts[1:] == ["Where is it?", "And what is it for?", "One more"]
    assert len(open_dataset("reasonseg", tmp_path / "out", explanatory=0)) == pictures  # the data set reads it as it is


def test_it_goes_on_where_it_stopped(bench, tmp_path):  # noqa: F811
    source = bench / "data" / FOLDER / "train"
    rephrase_folder(source, tmp_path / "out", Scripted("One"))
    (sorted((tmp_path / "out").glob("*.json"))[0]).unlink()
    again = Scripted("Two")
    rephrase_folder(source, tmp_path / "out", again)
    assert len(again.asked) == 1


def test_refused(bench, tmp_path):  # noqa: F811
    source = bench / "data" / FOLDER / "train"
    with pytest.raises(DatasetError, match="is the data itself"):
        rephrase_folder(source, source, Scripted())
    with pytest.raises(DatasetError, match="no \\*.json"):
        rephrase_folder(tmp_path, tmp_path / "out", Scripted())
    copy = shutil.copytree(source, tmp_path / "copy")
    sorted(copy.glob("*.json"))[0].write_text('{"text": []}')
    with pytest.raises(DatasetError, match="'text' must be a list"):
        rephrase_folder(copy, tmp_path / "out", Scripted())


@pytest.fixture(scope="module")
def language_model(tmp_path_factory):
    """A LLaMA of random weights with a tokenizer of bytes, as transformers saves them."""
    tokenizers = pytest.importorskip("tokenizers")
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("llm")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: number for number, piece in enumerate(["<s>", "</s>", *alphabet])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_any_local_causal_language_model(bench, language_model, tmp_path, capsys):  # noqa: F811
    command = [
        "rephrase",
        "--model",
        str(language_model),
        "--data",
        str(bench / "data"),
        "--wordings",
        "3",
        "--device",
        "cpu",
    ]
    outs = [tmp_path / "one", tmp_path / "two"]
    for out in outs:
        assert main([*command, "--out", str(out)]) == 0
    assert "new wordings" in capsys.readouterr().out
    one, two = ({p.name: p.read_bytes() for p in (out / FOLDER / "train").glob("*.json")} for out in outs)
    assert one and one == two  # seeded


def test_a_model_that_is_none(bench, tmp_path, capsys):  # noqa: F811
    (tmp_path / "empty").mkdir()
    command = [
        "rephrase",
        "--model",
        str(tmp_path / "empty"),
        "--data",
        str(bench / "data"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 1
    assert "not a causal language model in safetensors" in capsys.readouterr().err
