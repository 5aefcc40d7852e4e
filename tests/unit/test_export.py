import json
from types import SimpleNamespace

import pytest
import timm
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import mmdet_resnet
from run_folder import make_run, trained
from simipu.errors import SimipuError, UsageError
from simipu.export.card import describe
from simipu.export.names import MMDET, TORCHVISION, make_export
from simipu.export.points import METADATA, load_point_encoder, settings_of
from simipu.export.run import Data, read_run
from simipu.export.write import check_destination, write_export
from simipu.methods.build import build_method
from simipu.models.pointnet2 import PointEncoder
from simipu.train.config import ModelConfig

IMAGES = torch.linspace(-2, 2, 2 * 3 * 64 * 96).reshape(2, 3, 64, 96).sin()


def method_with(images: nn.Module, points: nn.Module | None = None) -> SimpleNamespace:
    return SimpleNamespace(
        image_encoder=SimpleNamespace(backbone=images), point_encoder=points or PointEncoder()
    )


def image_encoder(backbone: str) -> nn.Module:
    return trained(timm.create_model(backbone, features_only=True))


def shapes(tensors) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def assert_equal_features(found, expected):
    assert len(found) == len(expected) >= 4
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.std() > 0
        assert torch.equal(ours, theirs)


@torch.no_grad()
def torchvision_features(model: nn.Module) -> list[torch.Tensor]:
    x = model.relu(model.bn1(model.conv1(IMAGES)))
    found = [x]
    x = model.maxpool(x)
    for name in ("layer1", "layer2", "layer3", "layer4"):
        x = getattr(model, name)(x)
        found.append(x)
    return found


# Networks whose names timm changes when it cuts them into stages, and such as lose their head.
@pytest.mark.parametrize(
    ("backbone", "absent"),
    [
        ("resnet18", {"fc.weight", "fc.bias"}),
        ("resnet50.a1_in1k", {"fc.weight", "fc.bias"}),
        ("test_convnext", {"head.norm.weight", "head.norm.bias", "head.fc.weight", "head.fc.bias"}),
        ("regnety_002", {"head.fc.weight", "head.fc.bias"}),
        (
            "test_efficientnet",
            {"conv_head.weight", "classifier.weight", "classifier.bias"}
            | {f"bn2.{name}" for name in ("weight", "bias", "running_mean", "running_var")}
            | {"bn2.num_batches_tracked"},
        ),
        ("densenet121", {"classifier.weight", "classifier.bias"}),
    ],
)
def test_timm_gets_the_same_features(backbone, absent):
    encoder = image_encoder(backbone)
    export = make_export(method_with(encoder), backbone, "timm")
    model = timm.create_model(backbone).eval()
    result = model.load_state_dict(export.tensors, strict=False)
    assert not result.unexpected_keys
    # A plain dictionary may lack num_batches_tracked: PyTorch then leaves it alone.
    counters = {name for name in export.absent if name.endswith("num_batches_tracked")}
    assert set(result.missing_keys) == set(export.absent) - counters
    assert set(export.absent) == absent
    assert len(export.tensors) == len(encoder.state_dict())
    assert export.warnings == ()
    with torch.no_grad():
        expected = encoder(IMAGES)
        if hasattr(model, "forward_intermediates"):
            found = model.forward_intermediates(IMAGES, intermediates_only=True)
            assert_equal_features(found[-len(expected) :], expected)
        else:  # the last map alone can be asked for
            assert torch.equal(model.forward_features(IMAGES), expected[-1])


def test_timm_loads_a_resnet_strictly_without_its_classifier(tmp_path):
    encoder = image_encoder("resnet18")
    out = tmp_path / "a.safetensors"
    save_file(make_export(method_with(encoder), "resnet18", "timm").tensors, out)
    model = timm.create_model("resnet18", num_classes=0, checkpoint_path=str(out)).eval()
    with torch.no_grad():
        assert torch.equal(model.forward_features(IMAGES), encoder(IMAGES)[-1])


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "resnext50_32x4d"])
def test_torchvision_gets_the_same_features(backbone):
    encoder = image_encoder(backbone)
    export = make_export(method_with(encoder), backbone, "torchvision")
    assert export.absent == ("fc.weight", "fc.bias")
    assert export.warnings == ()
    model = torchvision.models.get_model(backbone, weights=None).eval()
    model.fc = nn.Identity()
    model.load_state_dict(export.tensors, strict=True)
    with torch.no_grad():
        expected = encoder(IMAGES)
    assert_equal_features(torchvision_features(model), expected)


@pytest.mark.parametrize("target", ["timm", "torchvision", "mmdet"])
def test_padding_that_the_target_does_not_know_is_warned_of(target):
    encoder = image_encoder("resnet18")
    for layer in (encoder.conv1, encoder.layer1[0].conv1):
        layer.padding_mode = "reflect"
    *_, warning = make_export(method_with(encoder), "resnet18", target).warnings
    assert warning.startswith(
        f"2 convolutions were trained with the padding mode 'reflect'; {target}"
    )


@pytest.mark.parametrize("backbone", TORCHVISION)
def test_torchvision_has_the_same_names_and_shapes(backbone):
    with torch.device("meta"):
        encoder = timm.create_model(backbone, features_only=True)
        export = make_export(method_with(encoder), backbone, "torchvision")
        model = torchvision.models.get_model(backbone, weights=None)
    expected = shapes(model.state_dict())
    assert expected.pop("fc.weight")
    assert expected.pop("fc.bias")
    assert shapes(export.tensors) == expected


@pytest.mark.parametrize("prefix", ["backbone", "img_backbone"])
@pytest.mark.parametrize("backbone", MMDET)
def test_mmdet_has_the_same_names_and_shapes(backbone, prefix):
    with torch.device("meta"):
        encoder = timm.create_model(backbone, features_only=True)
    export = make_export(method_with(encoder), backbone, "mmdet", prefix=prefix)
    settings = dict(export.settings)
    assert settings.pop("type") == ("ResNeXt" if "groups" in settings else "ResNet")
    expected = mmdet_resnet.shapes(**settings)
    assert shapes(export.tensors) == {f"{prefix}.{name}": expected[name] for name in expected}
    assert export.absent == ()
    assert export.warnings == ()


@pytest.mark.parametrize(
    ("backbone", "target"),
    [
        ("resnet50d", "torchvision"),
        ("resnet50d", "mmdet"),
        ("wide_resnet50_2", "mmdet"),
        ("regnety_002", "torchvision"),
        ("densenet121", "torchvision"),
        ("test_convnext", "mmdet"),
    ],
)
def test_a_network_that_the_target_lacks_is_refused(backbone, target):
    with pytest.raises(UsageError, match=r"(?s)no network like.*--to timm.*resnet18"):
        make_export(method_with(nn.Identity()), backbone, target)


def test_a_network_of_another_shape_is_refused():
    with pytest.raises(UsageError, match=r"another network: conv1\.weight"):
        make_export(method_with(nn.ModuleDict({"conv1": nn.Conv2d(3, 2, 1)})), "resnet18", "timm")


@pytest.mark.parametrize("target", ["torchvision", "timm", "mmdet"])
def test_other_batch_norms_than_the_targets_are_named(target):
    encoder = image_encoder("resnet18")
    for module in encoder.layer4.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.momentum = 1e-3, 0.01
    export = make_export(method_with(encoder), "resnet18", target)
    (warning,) = export.warnings
    assert "5 batch norms were trained with eps 0.001 and momentum 0.01;" in warning
    assert f"{target} makes them with eps 1e-05 and momentum 0.1" in warning
    assert set(export.batch_norm) == {(1e-5, 0.1), (1e-3, 0.01)}


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("runs") / "a")
    return read_run(run, checkpoint="last", weights="model")


# Files


def written(trained_run, target, out, **options):
    return write_export(
        trained_run, make_export(trained_run.method, "resnet18", target, **options), out
    )


def test_the_file_says_what_it_is(trained_run, tmp_path):
    out = tmp_path / "a.safetensors"
    result = written(trained_run, "torchvision", out)
    with safe_open(out, framework="pt") as file:
        assert list(file.metadata()) == [METADATA]  # several are written in random order
        about = json.loads(file.metadata()[METADATA])
    assert about["batch_norm"] == [{"eps": 1e-5, "momentum": 0.1}]
    assert about["image"]["mean"] == [0.485, 0.456, 0.406]
    assert about["absent"] == ["fc.weight", "fc.bias"]
    assert result.bytes == out.stat().st_size
    assert result.sha256 in (tmp_path / "a.safetensors.md").read_text()


@pytest.mark.parametrize(
    ("target", "ending"),
    [("torchvision", ".safetensors"), ("points", ".safetensors"), ("mmdet", ".pth")],
)
def test_the_same_run_gives_the_same_bytes(trained_run, tmp_path, target, ending):
    first = written(trained_run, target, tmp_path / f"a{ending}")
    second = written(trained_run, target, tmp_path / f"b{ending}")
    assert first.file.read_bytes() == second.file.read_bytes()
    names = first.card.read_text().replace(f"a{ending}", f"b{ending}")
    assert names.replace("b.pth", "") == second.card.read_text().replace("b.pth", "")


def test_mmdet_gets_a_plain_dictionary(trained_run, tmp_path):
    out = tmp_path / "a.pth"
    assert not any("pth" in warning for warning in written(trained_run, "mmdet", out).warnings)
    loaded = torch.load(out, weights_only=True)
    assert type(loaded) is dict
    expected = trained_run.method.image_encoder.backbone.state_dict()
    assert loaded.keys() == {f"backbone.{name}" for name in expected}
    for name, tensor in expected.items():
        assert torch.equal(loaded[f"backbone.{name}"], tensor)
    model = torchvision.models.resnet18(weights=None).eval()
    model.fc = nn.Identity()
    model.load_state_dict({name.removeprefix("backbone."): loaded[name] for name in loaded})
    with torch.no_grad():
        expected = trained_run.method.image_encoder.backbone(IMAGES)
    assert_equal_features(torchvision_features(model), expected)


def test_mmdet_as_safetensors_is_warned_of(trained_run, tmp_path):
    result = written(trained_run, "mmdet", tmp_path / "a.safetensors")
    assert any(".pth files only" in warning for warning in result.warnings)
    assert 'torch.save(load_file("a.safetensors"), "a.pth")' in result.card.read_text()


def test_weights_trained_channels_last_are_written_the_same(trained_run, tmp_path):
    expected = written(trained_run, "timm", tmp_path / "a.safetensors")
    other = build_method(ModelConfig(image_backbone="resnet18"), pairs=128)
    other.load_state_dict(trained_run.method.state_dict())
    other.to(memory_format=torch.channels_last)
    out = tmp_path / "b.safetensors"
    found = write_export(trained_run, make_export(other, "resnet18", "timm"), out)
    assert found.sha256 == expected.sha256


# The point encoder


@pytest.fixture(scope="module")
def points_file(trained_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("points") / "points.safetensors"
    written(trained_run, "points", out)
    return out


def test_the_point_encoder_comes_back_the_same(trained_run, points_file):
    torch.manual_seed(0)
    xyz, feature = torch.randn(2, 500, 3) * 20, torch.randn(2, 500, 1)
    distinct = torch.ones(2, 500, dtype=torch.bool)
    encoder = load_point_encoder(points_file)
    assert not encoder.training
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    with torch.no_grad():
        found = encoder(xyz, feature, distinct, 20)
        expected = trained_run.method.point_encoder(xyz, feature, distinct, 20)
    assert expected.std() > 0
    assert torch.equal(found, expected)


def test_settings_make_an_equal_encoder():
    settings = {"centres": [30, 20, 10, 5], "widths": [4, 8, 12, 16], "neighbours": 3}
    for coordinates in ("relative", "none"):
        given = settings | {"features": 2, "coordinates": coordinates}
        assert settings_of(PointEncoder(**given)) == given


def test_other_point_encoders_are_not_exported():
    model = ModelConfig(preset="compat", image_backbone="resnet18")
    method = build_method(model, pairs=8)
    with pytest.raises(UsageError, match="only the point encoder pointnet2"):
        make_export(method, "resnet18", "points")
    assert make_export(method, "resnet18", "torchvision").tensors


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, about: tensors.pop("down.0.0.weight"),
        lambda tensors, about: tensors.update(more=torch.zeros(1)),
        lambda tensors, about: about.update(target="timm"),
        lambda tensors, about: about["settings"].update(widths=[2, 3, 4]),
        lambda tensors, about: about["settings"].update(widths=[2**40, 3, 4]),
        lambda tensors, about: about.update(settings=[1]),
        lambda tensors, about: about.pop("settings"),
    ],
)
def test_another_file_is_no_point_encoder(points_file, tmp_path, change):
    tensors = load_file(points_file)
    with safe_open(points_file, framework="pt") as file:
        about = json.loads(file.metadata()[METADATA])
    change(tensors, about)
    save_file(tensors, tmp_path / "b.safetensors", metadata={METADATA: json.dumps(about)})
    with pytest.raises(SimipuError, match="no exported point encoder"):
        load_point_encoder(tmp_path / "b.safetensors")


def test_a_damaged_file_is_no_point_encoder(points_file, tmp_path):
    content = points_file.read_bytes()
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(content[: len(content) // 2])
    (tmp_path / "list.safetensors").write_bytes(b"[]")
    for name in ("plain", "cut", "list"):
        with pytest.raises(SimipuError, match="no exported point encoder"):
            load_point_encoder(tmp_path / f"{name}.safetensors")


# Where to, and the card


def test_endings_and_places_are_checked(tmp_path):
    for name, target in (("a.pth", "timm"), ("a.pt", "mmdet"), ("a", "points")):
        with pytest.raises(UsageError, match=r"(?s)not written as.*\.safetensors"):
            check_destination(tmp_path / name, target, overwrite=False)
    with pytest.raises(UsageError, match="no such folder"):
        check_destination(tmp_path / "b" / "a.safetensors", "timm", overwrite=False)
    out = tmp_path / "a.safetensors"
    check_destination(out, "timm", overwrite=False)
    (tmp_path / "a.safetensors.md").touch()
    with pytest.raises(UsageError, match=r"(?s)a\.safetensors\.md.*--overwrite"):
        check_destination(out, "timm", overwrite=False)
    check_destination(out, "timm", overwrite=True)
    out.mkdir()
    with pytest.raises(UsageError, match="exists already"):
        check_destination(out, "timm", overwrite=True)


def card(trained_run, **changes):
    fields = {name: getattr(trained_run, name) for name in trained_run.__slots__} | changes
    changed = type(trained_run)(**fields)
    export = make_export(trained_run.method, "resnet18", "points")
    return describe(
        changed, export, {}, file="a.safetensors", sha256="0" * 64, warnings=changed.warnings
    )


@pytest.mark.parametrize(
    ("licence", "restricted"),
    [
        ("CC BY-NC-SA 3.0 (KITTI, www.cvlibs.net)", True),
        ("Waymo Open Dataset License, non-commercial", True),
        ("for noncommercial use", True),
        ("CC BY 4.0", False),
        ("INC. terms", False),
    ],
)
def test_the_card_says_what_a_non_commercial_licence_means(trained_run, licence, restricted):
    free = Data(fingerprint="a", selection={}, source="x", licence="CC0")
    bound = Data(fingerprint="b", selection={}, source="y", licence=licence)
    text = card(trained_run, data=(free, bound), warnings=())
    assert licence in text
    assert ("non-commercial purposes only" in text) is restricted


def test_the_card_of_unknown_data_says_so(trained_run):
    text = card(trained_run)
    assert "could not be found out" in text
    assert "**Warning.** The licence of the data is not known" in text


def test_the_card_without_a_measurement_says_so(trained_run):
    assert "Nothing: the run kept no frames apart" in card(trained_run, metrics={})
    assert "| recall_at_1 | 0.25 |" in card(trained_run)
    assert "| control_at_1 | - |" in card(trained_run)


def test_the_card_says_what_a_run_began_with(trained_run):
    assert "from a random start: " in card(trained_run)
    model = trained_run.settings["model"] | {"image_weights": "imagenet.pth"}
    text = card(trained_run, settings=trained_run.settings | {"model": model})
    assert "from the weights of `imagenet.pth`, whose licence holds as well: " in text
    assert "random start" not in text
