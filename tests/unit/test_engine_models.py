"""From a model's name to directories: with the real hub client on a cache laid out here, and never a network."""

from __future__ import annotations

import hashlib
import shutil
import socket
from pathlib import Path

import huggingface_hub
import pytest
from golden import CHECKPOINT, VISION_TOWER

from lisa_ros.engine import Engine
from lisa_ros.engine.models import needed_files, resolve_model, resolve_vision_tower
from lisa_ros.model import integrity
from lisa_ros.model.config import CheckpointError

MODEL, TOWER = "xinlai/LISA-7B-v1", "openai/clip-vit-large-patch14"
LARGE = 100_000  # bytes from which a file is one of Git LFS, as on the hub


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty hub cache, and no network: whoever opens a connection fails the test."""

    def refuse(*args, **options):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "hub"


def put(cache: Path, repository: str, source: Path, leave_out: tuple[str, ...] = ()) -> Path:
    """Lay a repository into the cache as the hub client does: blobs by hash, a snapshot of links, a ref."""
    root, commit = cache / f"models--{repository.replace('/', '--')}", "c" * 40
    snapshot = root / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (root / "blobs").mkdir()
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    for file in source.iterdir():
        if file.name in leave_out:
            continue
        content = file.read_bytes()
        kind = hashlib.sha256 if len(content) > LARGE else hashlib.sha1
        blob = root / "blobs" / kind(content).hexdigest()
        blob.write_bytes(content)
        (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


def test_a_cached_model_and_its_tower_load_without_a_network(cache):
    model, tower = put(cache, MODEL, CHECKPOINT), put(cache, TOWER, VISION_TOWER)
    assert resolve_model(MODEL) == model
    assert resolve_vision_tower(MODEL, model) == tower
    engine = Engine.load(MODEL, device="cpu")
    assert engine.name == "LISA-7B-v1"  # not the snapshot's


def test_a_cached_blob_that_was_damaged_is_refused(cache):
    model = put(cache, MODEL, CHECKPOINT)
    put(cache, TOWER, VISION_TOWER)
    blob = (model / "pytorch_model.bin").resolve()
    assert integrity.expected_sha256(model / "pytorch_model.bin") == blob.name
    with blob.open("r+b") as stream:
        stream.seek(10_000_000)
        stream.write(b"\x01\x02\x03\x04")
    with pytest.raises(CheckpointError, match="sha256"):
        Engine.load(MODEL, device="cpu")


def test_an_unknown_model_is_a_sentence():
    with pytest.raises(
        CheckpointError, match="somebody/nothing: neither a directory here nor available from the hub"
    ) as caught:
        resolve_model("somebody/nothing")
    assert "\n" not in str(caught.value)


def test_an_interrupted_download_names_what_is_missing(cache):
    put(cache, MODEL, CHECKPOINT, leave_out=("pytorch_model.bin",))
    put(cache, TOWER, VISION_TOWER)
    with pytest.raises(CheckpointError, match="no pytorch_model.bin"):
        Engine.load(MODEL, device="cpu")


def test_a_local_checkpoint_finds_its_tower_in_the_cache_only(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_HUB_OFFLINE", False
    )  # the client may use the network: we must not ask it to
    copy = shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")
    with pytest.raises(CheckpointError, match=rf"{TOWER}.*--vision-tower DIR"):
        resolve_vision_tower(copy, copy)
    tower = put(cache, TOWER, VISION_TOWER)
    assert resolve_vision_tower(copy, copy) == tower


def test_the_users_tower_wins(cache, tmp_path):
    put(cache, TOWER, VISION_TOWER)
    mine = shutil.copytree(VISION_TOWER, tmp_path / "mine")
    assert resolve_vision_tower(CHECKPOINT, CHECKPOINT, mine) == mine
    with pytest.raises(CheckpointError, match="no such directory"):
        resolve_vision_tower(CHECKPOINT, CHECKPOINT, tmp_path / "none")


def test_a_checkpoint_that_holds_its_tower_needs_none():
    embedded = resolve_model("lisa-mini")
    assert resolve_vision_tower("lisa-mini", embedded) is None


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that holds the files it is told, and remembers what was fetched from it."""
    fetched = {}
    repositories = {}

    def list_repo_files(self, repository, **options):
        return repositories[repository]

    def snapshot_download(repository, allow_patterns=None, local_files_only=False, **options):
        if local_files_only:
            raise FileNotFoundError("not in the cache")
        fetched[repository] = sorted(
            huggingface_hub.utils.filter_repo_objects(repositories[repository], allow_patterns=allow_patterns)
        )
        source = {MODEL: CHECKPOINT, TOWER: VISION_TOWER}[repository]
        target = tmp_path / "fetched" / repository
        target.mkdir(parents=True)
        for name in fetched[repository]:
            if (source / name).is_file():
                shutil.copyfile(source / name, target / name)
        return str(target)

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", list_repo_files)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return repositories, fetched


def test_a_hub_model_brings_its_tower_and_nothing_it_does_not_need(hub):
    repositories, fetched = hub
    repositories[MODEL] = [
        "README.md",
        ".gitattributes",
        "training_args.bin",
        "runs/log.json",
        *(f.name for f in CHECKPOINT.iterdir()),
    ]
    repositories[TOWER] = ["config.json", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "merges.txt"]
    engine = Engine.load(MODEL, device="cpu")
    assert engine.name == "LISA-7B-v1"
    assert fetched[MODEL] == sorted(file.name for file in CHECKPOINT.iterdir())
    assert fetched[TOWER] == ["config.json", "pytorch_model.bin"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["pytorch_model.bin", "model.safetensors", "config.json", "tf_model.h5"],
            {"model.safetensors", "config.json"},
        ),
        (
            [
                "pytorch_model-00001-of-00002.bin",
                "pytorch_model-00002-of-00002.bin",
                "pytorch_model.bin.index.json",
                "tokenizer.model",
            ],
            {
                "pytorch_model-00001-of-00002.bin",
                "pytorch_model-00002-of-00002.bin",
                "pytorch_model.bin.index.json",
                "tokenizer.model",
            },
        ),
        (
            [
                "model-00001-of-00001.safetensors",
                "model.safetensors.index.json",
                "pytorch_model.bin",
                "pytorch_model.bin.index.json",
            ],
            {"model-00001-of-00001.safetensors", "model.safetensors.index.json"},
        ),
        (["onnx/model.safetensors", "optimizer.bin", "config.json"], {"config.json"}),
    ],
)
def test_one_kind_of_weights_is_fetched(names, expected):
    assert set(needed_files(names)) == expected
