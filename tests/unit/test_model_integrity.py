"""sha256 of weight files: known ones are checked once, wrong ones are refused, unknown ones pass."""

from __future__ import annotations

import hashlib
import os
import shutil

import pytest
from golden import CHECKPOINT, VISION_TOWER

from lisa_ros.model import integrity
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.config import CheckpointError
from lisa_ros.model.integrity import check_files, expected_sha256, sha256_of, sums_text, verify_files


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files whose content was really hashed."""
    names = []
    monkeypatch.setattr(integrity, "sha256_of", lambda file: names.append(file.name) or sha256_of(file))
    return names


def flip_last_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def with_sums(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(name.encode() * 1000)
    (folder / "SHA256SUMS").write_text(
        sums_text({name: hashlib.sha256(name.encode() * 1000).hexdigest() for name in names})
    )
    return [folder / name for name in names]


def test_files_beside_their_sums(tmp_path):
    files = with_sums(tmp_path / "m", "a.bin", "b.bin")
    verify_files(files)
    flip_last_byte(files[1])
    with pytest.raises(CheckpointError, match=r"b\.bin.*SHA256SUMS says"):
        verify_files(files)
    assert [check.state for check in check_files(files)] == ["ok", "wrong"]


def test_a_blob_of_the_hubs_cache_is_its_own_witness(tmp_path):
    content = b"weights" * 999
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    blob = blobs / hashlib.sha256(content).hexdigest()
    blob.write_bytes(content)
    small = blobs / ("0" * 40)  # small files have git's sha1 as name, which tells nothing here
    small.write_bytes(b"{}")
    for name, target in (("model.safetensors", blob), ("config.json", small)):
        (snapshot / name).symlink_to(os.path.relpath(target, snapshot))
    assert [c.state for c in check_files([snapshot / "model.safetensors", snapshot / "config.json"])] == [
        "ok",
        "unknown",
    ]
    flip_last_byte(blob)
    with pytest.raises(CheckpointError, match="hub's cache"):
        verify_files([snapshot / "model.safetensors"])


def test_nobody_knows(tmp_path, hashed):
    (tmp_path / "x.bin").write_bytes(b"x")
    assert expected_sha256(tmp_path / "x.bin") is None
    verify_files([tmp_path / "x.bin"])
    assert hashed == []


def test_a_file_is_hashed_once_until_it_changes(tmp_path, hashed):
    files = with_sums(tmp_path / "m", "a.bin", "b.bin")
    verify_files(files)
    verify_files(files)
    assert sorted(hashed) == ["a.bin", "b.bin"]
    assert check_files(files, afresh=True)[0].state == "ok" and len(hashed) == 4
    flip_last_byte(files[0])
    os.utime(files[0], ns=(1, 1))
    with pytest.raises(CheckpointError):
        verify_files(files)
    assert hashed[4:] == ["a.bin"]


def test_no_cache_only_means_to_hash_again(tmp_path, hashed, cache):
    cache.write_text("a file where the directory should be")
    files = with_sums(tmp_path / "m", "a.bin")
    verify_files(files)
    verify_files(files)
    assert hashed == ["a.bin", "a.bin"]


@pytest.mark.parametrize("content", ["not json", "[1]", '{"odd": 1}'])
def test_a_broken_cache_is_written_anew(tmp_path, hashed, cache, content):
    (cache / "lisa_ros").mkdir(parents=True)
    (cache / "lisa_ros" / "sha256.json").write_text(content)
    files = with_sums(tmp_path / "m", "a.bin")
    verify_files(files)
    verify_files(files)
    assert hashed == ["a.bin"]


def test_sums_of_another_format_are_named(tmp_path):
    (tmp_path / "SHA256SUMS").write_text("MD5 (a.bin) = 123\n")
    (tmp_path / "a.bin").write_bytes(b"a")
    with pytest.raises(CheckpointError, match="SHA256SUMS, line 1"):
        verify_files([tmp_path / "a.bin"])


def test_a_checkpoint_with_a_wrong_sha_is_not_loaded(tmp_path):
    copy = shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")
    (copy / "SHA256SUMS").write_text(sums_text({"pytorch_model.bin": sha256_of(copy / "pytorch_model.bin")}))
    load_checkpoint(copy, vision_tower=VISION_TOWER)
    with (copy / "pytorch_model.bin").open("r+b") as stream:  # one value of one tensor: nothing but the sha can tell
        stream.seek(10_000_000)
        byte = stream.read(1)
        stream.seek(10_000_000)
        stream.write(bytes([byte[0] ^ 1]))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: its sha256"):
        load_checkpoint(copy, vision_tower=VISION_TOWER)
