"""One process or many: who takes part, and what they agree on.

Started by torchrun, which sets RANK, WORLD_SIZE and the rest, the processes share each batch, and
take the steps that one process would take with all of it. Without it there is one process, and
nothing here does anything.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from simipu.errors import UsageError
from simipu.losses.gather import count_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simipu.methods.simipu import SimIPU


@dataclass(frozen=True, slots=True)
class World:
    """The processes that train together.

    Attributes:
        rank: of this process, from 0. Only the first one writes files.
        size: number of processes.
        local_rank: of this process on its machine: the GPU that it uses.
        control: group for what processes tell each other outside of the computation, over gloo, so
            that a GPU need not be waited for; None for a single process.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    control: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and speaks."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is set in any process."""
        if self.size == 1:
            return flag
        flags = torch.tensor([int(flag)])
        distributed.all_reduce(flags, distributed.ReduceOp.MAX, group=self.control)
        return bool(flags.item())

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.any(False)

    def mean(self, values: Tensor) -> Tensor:
        """The mean of ``values`` over all processes, on the CPU."""
        values = values.detach().double().cpu()
        if self.size > 1:
            distributed.all_reduce(values, group=self.control)
        return values / self.size

    def from_first(self, value: Any) -> Any:
        """What the first process has; the others wait for it."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, group=self.control)
        return box[0]


@contextmanager
def join_world(device: str = "auto") -> Iterator[World]:
    """Join the processes that torchrun started; NCCL connects GPUs, gloo CPUs.

    Args:
        device: as in `SystemConfig`; with several processes each takes the GPU of its local rank.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    if device.startswith("cuda:"):
        raise UsageError(
            f"{size} processes cannot share the device {device}",
            fix="Choose --device cuda: each process then takes the GPU of its own.",
        )
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if on_gpu:
        torch.cuda.set_device(_gpu(f"cuda:{local_rank}"))
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        control = distributed.new_group(backend="gloo")
        yield World(distributed.get_rank(), size, local_rank, control)
    finally:
        distributed.destroy_process_group()


def choose_device(name: str, world: World) -> torch.device:
    """The device that `SystemConfig` names; of several processes, the GPU of each its own."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,2})?", name):
        raise UsageError(
            f"there is no device {name!r}", fix="Choose --device auto, cpu, cuda or cuda:N."
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{world.local_rank}"
    return torch.device(name) if name == "cpu" else _gpu(name)


def _gpu(name: str) -> torch.device:
    device, count = torch.device(name), torch.cuda.device_count()
    if (device.index or 0) >= count:
        raise UsageError(
            f"there is no device {name!r}: PyTorch finds {count} CUDA devices",
            fix="Choose --device auto, cpu, or cuda:N with a smaller N; with torchrun, no more "
            "processes than there are devices.",
        )
    return device


def parallelise(method: SimIPU, world: World, device: torch.device) -> nn.Module:
    """``method``, so that the gradients of all processes are those of the joined batch."""
    if world.size == 1:
        return method
    share_batch_norm(method, on_gpu=device.type == "cuda")
    method.image_encoder.freeze_unused()  # their gradients would be waited for
    # Batch norm is shared: its statistics are equal already, and need not be sent around.
    known = signature(DistributedDataParallel).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    return DistributedDataParallel(
        method,
        device_ids=[device] if device.type == "cuda" else None,
        gradient_as_bucket_view=True,
        **{buffers: False},  # type: ignore[arg-type]
    )


def share_batch_norm(model: nn.Module, *, on_gpu: bool) -> None:
    """Let all batch norms of ``model`` use the statistics of all processes' rows.

    The modules stay what they are, with their parameters and names: only the class is changed, to
    one that inherits the computation, so that a subclass's own view of its input is kept.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            kind: Any = type(module)
            module.__class__ = _shared_class(kind, nn.SyncBatchNorm if on_gpu else _SharedBatchNorm)
            module.process_group = None  # type: ignore[assignment]  # PyTorch's own looks for it


@cache
def _shared_class(kind: Any, core: Any) -> Any:
    def forward_with_activation(self: Any, x: Tensor) -> Any:
        return self.act(self.drop(core.forward(self, x)))

    # timm's norms with an activation call the function themselves instead of inheriting it.
    own = {"forward": forward_with_activation} if hasattr(kind(1), "act") else {}
    return type(f"Shared{kind.__name__}", (kind, core), own)


class _SharedBatchNorm(_BatchNorm):
    """`torch.nn.SyncBatchNorm`, which needs a GPU, for CPUs."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        given, x = x.dtype, x.float()  # under autocast too: sums of many
        axes = [axis for axis in range(x.ndim) if axis != 1]
        rows = x.numel() // x.shape[1]
        total = count_all(rows, x.device)
        # The mean first, then the deviations from it: a difference of large sums would not do.
        mean = _Sum.apply(x.sum(axes)) / total
        shape = [1, -1] + [1] * (x.ndim - 2)
        centred = x - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(axes)) / total
        if self.running_mean is not None and self.running_var is not None:
            self._update(mean.detach(), variance.detach() * (total / max(total - 1, 1)))
        result = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            result = result * self.weight.view(shape) + self.bias.view(shape)
        return cast("Tensor", result.to(given))

    @torch.no_grad()
    def _update(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = self.momentum
        if share is None:
            share = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class _Sum(torch.autograd.Function):
    """The sum over all processes, and of the gradients likewise."""

    @staticmethod
    def forward(_ctx: Any, values: Tensor) -> Tensor:
        return _all_reduce(values)

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return _all_reduce(gradient)


def _all_reduce(values: Tensor) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total
