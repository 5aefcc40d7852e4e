import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from simipu.errors import SimipuError, UsageError
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


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("resnet18", (8, 16, 32)),
        ("convnext_atto", (8, 16, 32)),
        ("mambaout_femto", (8, 16, 32)),  # channels last
        ("vit_tiny_patch16_224", (16,)),
    ],
)
def test_hypercolumn(name, strides):
    encoder = ImageEncoder(name)
    assert encoder.strides == strides
    maps = encoder.maps(torch.randn(2, 3, 64, 96))
    assert [level.shape[2:] for level in maps] == [(64 // s, 96 // s) for s in strides]
    assert sum(level.shape[1] for level in maps) == encoder.channels
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
    with pytest.raises(UsageError, match=r"it fails at 128 x 256 px.*\n.*--image-backbone"):
        ImageEncoder("maxvit_tiny_rw_224")
    with pytest.raises(UsageError, match=r"padding is 'mirror'.*\n.*zeros, reflect"):
        ImageEncoder("resnet18", padding="mirror")


def test_strides_may_be_chosen():
    encoder = ImageEncoder("resnet18", strides=(4, 32))
    assert encoder.strides == (4, 32)
    assert encoder.channels == 64 + 512


def test_cells_have_their_stride_whatever_the_size_of_the_image():
    """A patch of 16 px stays one where the image is filled up to whole patches."""
    encoder = ImageEncoder("vit_tiny_patch16_224").eval()
    images = torch.randn(1, 3, 40, 72)
    (level,) = encoder.maps(images)
    assert level.shape == (1, 192, 3, 5)
    found = encoder(images, torch.tensor([[[7.5, 7.5], [55.5, 23.5]]]))
    torch.testing.assert_close(found[0], level[0, :, [0, 1], [0, 3]].T)


def test_reflection_shows_a_constant_image_no_border():
    flat = torch.ones(1, 3, 64, 64)
    conv = ImageEncoder("resnet18", padding="reflect").backbone.conv1(flat)
    torch.testing.assert_close(conv, conv[..., :1, :1].expand_as(conv), atol=1e-5, rtol=1e-5)
    conv = ImageEncoder("resnet18").backbone.conv1(flat)
    assert (conv - conv[..., 5:6, 5:6]).abs().max() > 0.01


@pytest.mark.parametrize("prefix", ["", "backbone.", "img_backbone."])
@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "vit_tiny_patch16_224"])
def test_weights_of_a_local_file(tmp_path, name, prefix):
    whole = timm.create_model(name).eval()
    state = {f"{prefix}{key}": value for key, value in whole.state_dict().items()}
    if prefix:
        state["neck.weight"] = torch.zeros(3)
    file = tmp_path / "weights.pth"
    torch.save({"state_dict": state}, file)
    encoder = ImageEncoder(name, weights=file).eval()
    images = torch.randn(1, 3, 224, 224)
    last = whole.forward_intermediates(images, intermediates_only=True, norm=False)[-1]
    torch.testing.assert_close(encoder.maps(images)[-1], last)


def test_torchvisions_weights_as_safetensors(tmp_path):
    state = torchvision.models.resnet18().state_dict()
    file = tmp_path / "weights.safetensors"
    save_file(state, file)
    encoder = ImageEncoder("resnet18", weights=file)
    assert torch.equal(encoder.backbone.layer4[1].bn2.weight, state["layer4.1.bn2.weight"])
    assert torch.equal(encoder.backbone.conv1.weight, state["conv1.weight"])


def test_weights_that_do_not_fit_are_named(tmp_path):
    file = tmp_path / "weights.pth"

    def refuses(state, match):
        torch.save(state, file)
        with pytest.raises(SimipuError, match=match) as caught:
            ImageEncoder("resnet18", weights=file)
        assert caught.value.where == str(file)

    state = torchvision.models.resnet18().state_dict()
    refuses({**state, "odd": torch.zeros(1)}, "the file has besides odd")
    refuses({**state, "conv1.weight": torch.zeros(1)}, "has other shapes of conv1.weight")
    del state["layer1.0.conv1.weight"]
    refuses(state, "these are no weights of 'resnet18': the file lacks layer1.0.conv1.weight")
    refuses({"conv1.weight": file}, "cannot be read")  # an object: nothing in a file is run
    with pytest.raises(SimipuError, match="cannot be read"):
        ImageEncoder("resnet18", weights=tmp_path / "absent.pth")


@pytest.mark.parametrize(("strides", "frozen"), [((8, 16), {"layer4"}), ((8, 32), set())])
def test_what_no_map_depends_on_can_be_taken_out_of_the_training(strides, frozen):
    encoder = ImageEncoder("test_resnet", strides)
    statistics = [value.clone() for value in encoder.buffers()]
    encoder.freeze_unused()
    still = {
        name.split(".")[0] for name, p in encoder.backbone.named_parameters() if p.requires_grad
    }
    layers = {name.split(".")[0] for name, _ in encoder.backbone.named_parameters()}
    assert layers - still == frozen
    assert all(map(torch.equal, encoder.buffers(), statistics))
    assert all(parameter.grad is None for parameter in encoder.parameters())
