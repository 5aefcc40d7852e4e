"""Names and shapes of the tensors of mmdetection's ResNets, from the structure that it documents.

A stem ``conv1``, ``bn1`` (7 x 7, 64 channels), four stages ``layer1`` to ``layer4`` of 64, 128, 256
and 512 planes; basic blocks of two 3 x 3 convolutions, or bottlenecks of 1 x 1, 3 x 3, 1 x 1 with
four times the planes at their end; where a stage's first block changes the number of channels or
the resolution, a 1 x 1 convolution and a batch norm, ``downsample.0`` and ``downsample.1``. ResNeXt
divides the 3 x 3 convolution of a bottleneck into groups, each ``base_width * planes / 64`` wide.
"""

from __future__ import annotations

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


def shapes(depth: int, *, groups: int = 1, base_width: int = 4) -> dict[str, tuple[int, ...]]:
    """Name -> shape, without any prefix."""
    found: dict[str, tuple[int, ...]] = {}

    def layer(conv: str, norm: str, outputs: int, inputs: int, size: int) -> None:
        found[f"{conv}.weight"] = (outputs, inputs, size, size)
        for name in ("weight", "bias", "running_mean", "running_var"):
            found[f"{norm}.{name}"] = (outputs,)
        found[f"{norm}.num_batches_tracked"] = ()

    layer("conv1", "bn1", 64, 3, 7)
    channels = 64
    for stage, blocks in enumerate(BLOCKS[depth]):
        planes = 64 * 2**stage
        outputs = planes if depth < 50 else 4 * planes
        width = planes if groups == 1 else planes * base_width // 64 * groups
        for block in range(blocks):
            name = f"layer{stage + 1}.{block}"
            if depth < 50:
                layer(f"{name}.conv1", f"{name}.bn1", planes, channels, 3)
                layer(f"{name}.conv2", f"{name}.bn2", planes, planes, 3)
            else:
                layer(f"{name}.conv1", f"{name}.bn1", width, channels, 1)
                layer(f"{name}.conv2", f"{name}.bn2", width, width // groups, 3)
                layer(f"{name}.conv3", f"{name}.bn3", outputs, width, 1)
            if block == 0 and (stage > 0 or channels != outputs):
                layer(f"{name}.downsample.0", f"{name}.downsample.1", outputs, channels, 1)
            channels = outputs
    return found
