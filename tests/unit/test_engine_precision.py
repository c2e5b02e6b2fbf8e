"""Which precision "auto" is."""

import pytest
import torch

from lisa_ros.engine import precision
from lisa_ros.engine.precision import cpu_multiplies_bfloat16, usual_dtype

PROCESSOR = "processor\t: {}\nmodel name\t: some\nflags\t\t: fpu avx512f {}\nbugs\t\t: amx_bf16\n\n"


@pytest.mark.parametrize(
    ("flags", "native"),
    [(["amx_bf16", "amx_bf16"], True), (["avx512_bf16"], True), (["avx512_vnni"], False), (["avx512_bf16", ""], False), ([], False)],
)
def test_a_cpu_says_what_it_multiplies(flags, native, tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("".join(PROCESSOR.format(number, each) for number, each in enumerate(flags)))
    assert cpu_multiplies_bfloat16(path) is native


def test_where_linux_says_nothing_float32_is_used(tmp_path):
    assert cpu_multiplies_bfloat16(tmp_path / "none") is False


@pytest.mark.parametrize(
    ("device", "native", "dtype"),
    [("cuda", False, "bfloat16"), ("cpu", True, "bfloat16"), ("cpu", False, "float32"), ("meta", True, "float32")],
)
def test_auto_is_what_the_device_is_fast_at(device, native, dtype, monkeypatch):
    monkeypatch.setattr(precision, "cpu_multiplies_bfloat16", lambda: native)
    assert usual_dtype(torch.device(device)) == dtype
