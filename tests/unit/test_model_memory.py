"""What a LISA needs, what is free, and the sentence when the first is more than the second."""

from __future__ import annotations

import dataclasses
import functools
from importlib.util import find_spec

import pytest
import torch
from golden import CHECKPOINT, VISION_TOWER

from lisa_ros.engine.models import resolve_model
from lisa_ros.model import memory
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.config import CheckpointError
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.memory import (
    free_host_memory,
    free_memory,
    is_out_of_memory,
    memory_need,
    out_of_memory_as_checkpoint_error,
    require_memory,
    weight_bytes,
    working_bytes,
)
from lisa_ros.model.published import published_config

GB = 1e9
QUANTIZATIONS = ["none", *memory.SMALL]


@functools.cache
def on_meta(name: str) -> Lisa:
    with torch.device("meta"):
        return Lisa(published_config(name))


@pytest.mark.parametrize(
    ("name", "quantization", "gigabytes"),
    [  # 13B: near the reference's own figures; 7B: the sum of its parts, LLM 3.86 + CLIP 0.61 + SAM 1.28
        ("13b", "none", 28.0),
        ("13b", "8bit", 16.0),
        ("13b", "4bit", 9.1),
        ("7b", "4bit", 5.8),
    ],
)
def test_published_sizes(name, quantization, gigabytes):
    lisa = on_meta(name)
    assert weight_bytes(lisa, torch.bfloat16, quantization) / GB == pytest.approx(gigabytes, rel=0.03)
    total = memory_need(lisa, torch.bfloat16, quantization, "cuda").total
    assert total < (gigabytes + 2.5) * GB  # 13B in 16 bits: the 30 GB of the reference's README
    assert weight_bytes(lisa, torch.float16, quantization) >= weight_bytes(
        lisa, torch.bfloat16, quantization
    )  # neck in 32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("model", ["golden", "lisa-mini"])
def test_weights_are_counted_to_the_byte(model, quantization, dtype):
    if quantization != "none" and find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes (requirements/core.txt) is missing")
    directory, tower = (CHECKPOINT, VISION_TOWER) if model == "golden" else (resolve_model(model), None)
    loaded, _ = load_checkpoint(directory, vision_tower=tower, dtype=dtype, quantization=quantization)
    with torch.device("meta"):
        foretold = weight_bytes(Lisa(loaded.config), dtype, quantization)
    held = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in (*loaded.parameters(), *loaded.buffers())
    }
    tables = 1024 if quantization != "none" else 0
    assert sum(held.values()) - tables == foretold


def test_working_room_follows_the_model():
    config = published_config("7b")
    base = working_bytes(config, torch.bfloat16)
    # the keys and values of LLaVA-1.5's 576 instead of 256 patches, twice
    patches = dataclasses.replace(config, vision=published_config("llava-1.5-7b").vision)
    assert working_bytes(patches, torch.bfloat16) - base > 2 * 2 * 32 * 4096 * 320 * 2
    windowed = dataclasses.replace(config, sam=dataclasses.replace(config.sam, global_attention=()))
    # 16 heads x 4096 x 4096 in two bytes go, 25 windows of 14 x 14 come
    assert base - working_bytes(windowed, torch.bfloat16) == 16 * (4096**2 - 25 * 14**4) * 2
    assert working_bytes(config, torch.float32) > 1.8 * base
    assert 11008 * 4096 * 2 <= working_bytes(config, torch.bfloat16, "8bit") - base <= 11008 * 4096 * 2
    assert working_bytes(config, torch.bfloat16, "none", "cuda") == base + memory.CUDA_LIBRARIES


def test_a_working_room_holds_what_an_engine_really_takes():
    """The largest tensors of one query, counted by torch itself."""
    import numpy as np

    from lisa_ros.engine import Engine

    lisa, tokenizer = load_checkpoint(resolve_model("lisa-mini"))
    engine = Engine(lisa, tokenizer)
    image = np.zeros((480, 640, 3), np.uint8)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        engine.ask(engine.encode(image), ["the cup"], mode="chat", max_new_tokens=4)
    now = peak = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    assert 0 < peak < working_bytes(lisa.config, torch.float32)


def refusal(free: float, dtype=torch.bfloat16, quantization="none", device="cpu", name="13b", monkeypatch=None) -> str:
    monkeypatch.setattr(memory, "free_memory", lambda device: int(free))
    with pytest.raises(CheckpointError) as caught:
        require_memory(on_meta(name), device, dtype, quantization, "xinlai/LISA-13B")
    return str(caught.value)


def test_refusal_offers_what_fits(monkeypatch):
    said = refusal(24e9, monkeypatch=monkeypatch)
    assert said.startswith("xinlai/LISA-13B needs about 29.8 GB in bfloat16 on cpu, 24.0 GB are free; 8bit needs 17.")
    assert "4bit needs 11." in said and said.endswith("(--quantization); or choose another device (--device)")
    said = refusal(12e9, monkeypatch=monkeypatch)
    assert "8bit" not in said and "4bit needs 11." in said
    said = refusal(11.5e9, quantization="8bit", monkeypatch=monkeypatch)
    assert "in bfloat16 with 8bit weights on cpu" in said and "; 4bit needs 11." in said
    said = refusal(40e9, torch.float32, monkeypatch=monkeypatch)
    assert "bfloat16 needs 29.8 GB (--dtype), 8bit needs 2" in said
    said = refusal(12e9, torch.float32, monkeypatch=monkeypatch)
    assert "; bfloat16 with 4bit needs 11." in said and "8bit" not in said
    said = refusal(3e9, monkeypatch=monkeypatch)
    assert "bit" not in said and said.endswith(
        "no smaller setting would fit: choose another device (--device) or a smaller checkpoint"
    )


def test_what_fits_is_not_refused(monkeypatch):
    lisa = on_meta("13b")
    need = memory_need(lisa, torch.bfloat16).total
    monkeypatch.setattr(memory, "free_memory", lambda device: need)
    require_memory(lisa, "cpu", torch.bfloat16, "none", "here")
    monkeypatch.setattr(memory, "free_memory", lambda device: need - 1)
    with pytest.raises(CheckpointError, match="^here needs about"):
        require_memory(lisa, "cpu", torch.bfloat16, "none", "here")
    monkeypatch.setattr(memory, "free_memory", lambda device: None)
    require_memory(lisa, "cpu", torch.bfloat16, "none", "here")


def test_loading_refuses_too(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 1000)
    with pytest.raises(
        CheckpointError, match=r"ckpt needs about 0\.\d+ GB in float32 on cpu, 0.000 GB are free; no smaller"
    ):
        load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)


# --- running out all the same


def test_out_of_memory_is_a_sentence():
    settings = ("cpu", torch.bfloat16, "none", "here")
    lisa = on_meta("7b")
    with pytest.raises(CheckpointError, match="^out of memory while loading: here needs about") as caught:
        with out_of_memory_as_checkpoint_error(lisa, *settings):
            torch.empty(1 << 60, dtype=torch.uint8)  # what torch says on a CPU
    assert isinstance(caught.value.__cause__, RuntimeError)
    for error in (
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("MPS backend out of memory"),
    ):
        assert is_out_of_memory(error)
        with pytest.raises(CheckpointError, match="out of memory while loading"):
            with out_of_memory_as_checkpoint_error(lisa, *settings):
                raise error


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes differ"):
        with out_of_memory_as_checkpoint_error(on_meta("7b"), "cpu", torch.bfloat16, "none", "here"):
            raise RuntimeError("shapes differ")


# --- what is free


def test_this_machine_has_memory():
    free = free_memory("cpu")
    assert free is None or 1e8 < free < 1e14
    assert free_memory("meta") is None


@pytest.fixture
def system(tmp_path):
    """A Linux with 8 GiB available, and no control groups yet."""

    class System:
        proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"

        def write(self, path, text):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

        def free(self):
            return free_host_memory(self.proc, self.cgroups)

        def group(self, where, **files):
            for name, text in files.items():
                self.write(self.cgroups / where / f"memory.{name}", text)

    system = System()
    system.write(system.proc / "meminfo", "MemTotal: 16777216 kB\nMemFree: 100 kB\nMemAvailable: 8388608 kB\n")
    return system


MIB = 1 << 20


def test_without_limits_what_is_available_counts(system):
    assert system.free() == 8192 * MIB
    system.write(system.proc / "self/cgroup", "0::/user.slice\n")
    system.group("user.slice", max="max\n", current="123\n")
    assert system.free() == 8192 * MIB


def test_version_2_limits_of_all_parents_count(system):
    system.write(system.proc / "self/cgroup", "0::/kubepods/pod1/lisa\n")
    system.group("kubepods/pod1/lisa", max="max\n", current=f"{900 * MIB}\n")
    system.group(
        "kubepods/pod1",
        max=f"{2000 * MIB}\n",
        current=f"{1500 * MIB}\n",
        stat=f"anon 1\ninactive_file {400 * MIB}\nactive_file {100 * MIB}\n",
    )
    system.group("kubepods", max=f"{5000 * MIB}\n", current=f"{1500 * MIB}\n")
    assert system.free() == 1000 * MIB  # 2000 - (1500 - 500 of caches)


def test_a_containers_limit_stands_at_the_mounts_root(system):
    system.write(system.proc / "self/cgroup", "0::/docker/0123abcd\n")  # the host's path, not visible inside
    system.group(".", max=f"{3000 * MIB}\n", current=f"{1000 * MIB}\n", stat="inactive_file 0\n")
    assert system.free() == 2000 * MIB


def test_version_1_limits_count(system):
    system.write(system.proc / "self/cgroup", "5:devices:/a\n4:memory:/docker/b\n0::/\n")
    system.group(
        "memory/docker/b",
        limit_in_bytes=f"{4000 * MIB}\n",
        usage_in_bytes=f"{3500 * MIB}\n",
        stat=f"inactive_file 7\ntotal_inactive_file {200 * MIB}\ntotal_active_file {300 * MIB}\n",
    )
    system.group("memory", limit_in_bytes="9223372036854771712\n", usage_in_bytes="1\n")
    assert system.free() == 1000 * MIB


def test_used_up_limits_leave_nothing(system):
    system.write(system.proc / "self/cgroup", "0::/x\n")
    system.group("x", max=f"{100 * MIB}\n", current=f"{120 * MIB}\n")
    assert system.free() == 0


def test_other_systems_tell_nothing(tmp_path):
    assert free_host_memory(tmp_path / "none", tmp_path / "none") is None
