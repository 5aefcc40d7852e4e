"""Batch norm over the rows of all processes; with several of them: test_distributed.py."""

import pytest
import torch
from torch import distributed, nn

from simipu.train.distributed import share_batch_norm


@pytest.fixture
def process_group():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_process_gets_what_torch_computes(process_group, dtype):
    torch.manual_seed(0)
    x = (torch.randn(64, 3, 5, 7) * 3 + 100).to(dtype)  # bfloat16 has steps of 0.5 there
    plain, shared = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    share_batch_norm(shared, on_gpu=False)
    expected, found = plain(x), shared(x)
    assert found.dtype == expected.dtype == dtype
    torch.testing.assert_close(
        found, expected, atol=1e-4 if dtype == torch.float32 else 0.02, rtol=0
    )
    torch.testing.assert_close(shared.running_mean, plain.running_mean, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(shared.running_var, plain.running_var, atol=1e-3, rtol=1e-3)
