import pytest
import torch

from simipu.errors import UsageError
from simipu.models.image import ImageEncoder, sample_features


def test_sampling_by_hand():
    # A map of 2 x 2 cells of 4 px: cell centres at pixel 1.5 and 5.5.
    features = torch.tensor([[0.0, 10.0], [20.0, 30.0]])[None, None]
    uv = torch.tensor([[[1.5, 1.5], [5.5, 1.5], [3.5, 1.5], [3.5, 3.5], [-0.5, 1.5], [7.5, 7.5]]])
    found = sample_features(features, uv, (8, 8))
    assert found.shape == (1, 6, 1)
    expected = [0.0, 10.0, 5.0, 15.0, 0.0, 30.0]  # beyond the centres the border value holds
    torch.testing.assert_close(found[0, :, 0], torch.tensor(expected))


def test_sampling_keeps_full_precision_of_coordinates():
    ramp = torch.arange(1248.0)[None, None, None].expand(1, 1, 4, -1)
    uv = torch.tensor([[[1001.25, 1.0]]])
    found = sample_features(ramp.to(torch.bfloat16), uv, (4, 1248))
    assert found.dtype == torch.float32
    half = sample_features(ramp.half(), uv, (4, 1248))
    assert half.item() == pytest.approx(1001.25, abs=0.01)


def test_each_sample_of_a_batch_is_read_from_its_own_map():
    features = torch.arange(3.0)[:, None, None, None].expand(3, 2, 4, 4)
    found = sample_features(features, torch.rand(3, 5, 2) * 10, (32, 32))
    assert torch.equal(found, torch.arange(3.0)[:, None, None].expand(3, 5, 2))


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto"])
def test_hypercolumn(name):
    encoder = ImageEncoder(name)
    columns = encoder(torch.randn(2, 3, 64, 96), torch.rand(2, 7, 2) * 60)
    assert columns.shape == (2, 7, encoder.channels)
    columns.sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_the_hypercolumn_of_resnet18_is_stages_two_to_four():
    encoder = ImageEncoder("resnet18").eval()
    images, uv = torch.randn(1, 3, 64, 64), torch.tensor([[[3.5, 3.5], [35.5, 19.5]]])
    found = encoder(images, uv)
    x = encoder.backbone.maxpool(
        encoder.backbone.act1(encoder.backbone.bn1(encoder.backbone.conv1(images)))
    )
    stages = []
    for stage in (
        encoder.backbone.layer1,
        encoder.backbone.layer2,
        encoder.backbone.layer3,
        encoder.backbone.layer4,
    ):
        x = stage(x)
        stages.append(x)
    # (3.5, 3.5) is the centre of the first cell of stride 8, (35.5, 19.5) of cell (2, 4).
    torch.testing.assert_close(found[0, :, :128], stages[1][0, :, [0, 2], [0, 4]].T)
    assert found.shape[-1] == 128 + 256 + 512
    torch.testing.assert_close(found[0, 0, 384:], stages[3][0, :, 0, 0])  # before the first centre


def test_trying_a_backbone_out_leaves_no_trace():
    encoder = ImageEncoder("resnet18")
    assert all(module.training for module in encoder.modules())
    assert not encoder.backbone.bn1.running_mean.any()
    assert encoder.backbone.bn1.num_batches_tracked == 0


def test_backbones_that_cannot_serve_are_refused():
    with pytest.raises(UsageError, match=r"'resnet19'.*\n.*resnet18"):
        ImageEncoder("resnet19")
    with pytest.raises(UsageError, match=r"strides .* not \[64\]"):
        ImageEncoder("resnet18", strides=(8, 64))
    channels_last = r"maps are \[\(1, 8, 16, 96\).* instead of \[\(1, 96, 8, 16\)"
    with pytest.raises(UsageError, match=rf"'mambaout_femto' cannot serve: .*{channels_last}"):
        ImageEncoder("mambaout_femto")
    with pytest.raises(UsageError, match=r"it fails at 64 x 128 px.*\n.*--image-backbone"):
        ImageEncoder("swin_tiny_patch4_window7_224")
