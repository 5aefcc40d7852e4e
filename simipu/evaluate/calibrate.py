"""Statistics of batch norm for the images that an encoder is measured with."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Callable

Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def calibrate(network: Network, show: Callable[[Network], object]) -> Network:
    """A copy in evaluation mode, whose batch norms have the statistics of what ``show`` shows.

    Random weights come with the statistics 0 and 1, with which deep features fade or explode;
    trained ones with those of augmented images. Measured as they are, the one would look too bad,
    and how bad would depend on the depth of the network. So all weights are treated alike.

    Args:
        network: is not changed. Without batch norm the copy equals it.
        show: passes the inputs, several at a time, through the network that it is given.
    """
    copied = copy.deepcopy(network).eval()
    norms = [module for module in copied.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
        norm.train()
    if norms:
        show(copied)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return copied.eval()
