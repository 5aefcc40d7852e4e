"""The evaluation itself: encoders that know all, nothing, or the position only, are told apart."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import exact_store
from exact_store import ExactStore
from simipu.data.config import SampleConfig, Selection
from simipu.data.selection import select_images
from simipu.errors import StoreError, UsageError
from simipu.evaluate.control import find_control, near_duplicates
from simipu.evaluate.depth_probe import probe_depth
from simipu.evaluate.division import (
    describe_frames,
    divide,
    refuse_trained,
    trained_frames,
)
from simipu.evaluate.evaluation import Evaluator, Subject
from simipu.evaluate.notes import describe_division
from simipu.evaluate.pictures import read_picture
from simipu.evaluate.pixels import draw_pixels, read_pictures
from simipu.evaluate.table import as_json, as_markdown, as_text
from simipu.models.image import sample_features

SIZE = (exact_store.HEIGHT, exact_store.WIDTH)
SAMPLE = SampleConfig(
    height=SIZE[0], width=SIZE[1], pairs=32, points=64, cell_px=exact_store.BLOCK_PX
)
CPU = torch.device("cpu")


class Method(nn.Module):
    """An image encoder of one stride, and embeddings on a sphere."""

    strides = (1,)

    def maps(self, images):
        return [self.see(images)]

    def forward(self, images, uv):
        return sample_features(self.see(images), uv, SIZE)

    def embed_pixels(self, images, uv):
        return on_a_sphere(self.place_of_pixels(images, uv))

    def embed_points(self, cloud, *, queries):
        return on_a_sphere(self.place_of_points(cloud.xyz[:, :queries]))


class Oracle(Method):
    """Reads the colour code: knows where every pixel's point is."""

    def see(self, images):
        return exact_store.decode(images.movedim(1, -1))[..., 2].log()[:, None]

    def place_of_pixels(self, images, uv):
        return exact_store.decode(sample_features(images, uv, SIZE))

    def place_of_points(self, xyz):
        return xyz


class Cheat(Method):
    """Knows the rig, and does not look at the image."""

    def see(self, images):
        v, u = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
        return torch.stack([u, v]).float().expand(len(images), -1, -1, -1)

    def place_of_pixels(self, images, uv):
        return uv.expand(len(images), -1, -1)

    def place_of_points(self, xyz):
        centre = torch.tensor([SIZE[1], SIZE[0]]) / 2 - 0.5
        return exact_store.FOCAL_PX * xyz[..., :2] / xyz[..., 2:] + centre


class Noise(Method):
    """Answers whatever comes, but the same each time."""

    def see(self, images):
        generator = torch.Generator().manual_seed(int(images.abs().sum() * 1e3))
        return torch.randn(len(images), 8, *SIZE, generator=generator)

    def place_of_pixels(self, images, uv):
        return self(images, uv)

    def place_of_points(self, xyz):
        return torch.randn(*xyz.shape[:2], 8, generator=torch.Generator().manual_seed(1))


def on_a_sphere(place):
    constant = torch.full_like(place[..., :1], 30)
    return F.normalize(torch.cat([place, constant], dim=-1), dim=-1)


def subject(kind):
    method = kind()
    return Subject(name=kind.__name__, method=method, image=method)


def evaluated(store, *kinds, probes=("retrieval", "depth"), seeds=2, **measured):
    division = divide(store, Selection(path="", **measured), None)
    evaluator = Evaluator(
        subjects=[subject(kind) for kind in kinds],
        random=lambda: subject(Noise),
        division=division,
        sample=SAMPLE,
        device=CPU,
        stages=True,
    )
    return evaluator.evaluate(probes, seeds=seeds)


@pytest.fixture(scope="module")
def found():
    return evaluated(ExactStore(frames=48), Oracle, Cheat)


def number(found, subject, setting, metric):
    (row,) = (r for r in found.rows if (r.subject, r.setting) == (subject, setting))
    return row.metrics[metric].mean


@pytest.mark.parametrize("way", ["pixel to point", "point to pixel"])
def test_an_oracle_finds_every_point_and_needs_the_right_image(found, way):
    assert number(found, "Oracle", f"{way}, right image", "recall_at_1") > 0.95
    assert number(found, "Oracle", f"{way}, another image", "recall_at_1") < 0.4
    assert number(found, "Oracle", f"{way}, difference", "recall_at_1") > 0.6
    assert number(found, "Oracle", f"{way}, ratio", "recall_at_1") > 2.5


@pytest.mark.parametrize("way", ["pixel to point", "point to pixel"])
def test_the_control_exposes_who_knows_positions_only(found, way):
    assert number(found, "Cheat", f"{way}, right image", "recall_at_1") == 1
    assert number(found, "Cheat", f"{way}, another image", "recall_at_1") == 1
    assert number(found, "Cheat", f"{way}, difference", "recall_at_1") == 0
    assert number(found, "Cheat", f"{way}, ratio", "recall_at_1") == 1


def test_who_knows_nothing_finds_what_a_guess_finds(found):
    for k in (1, 5, 10):
        chance = number(found, "guess", "chance", f"recall_at_{k}")
        assert chance == pytest.approx(k / 32)
        # 1024 pixels: a standard deviation is at most 0.015.
        recall = number(found, "Noise", "pixel to point, right image", f"recall_at_{k}")
        assert recall == pytest.approx(chance, abs=0.05)


def test_depth_is_read_off_the_oracle_and_off_nobody_else(found):
    setting = "all strides, fitted to 33 images"
    assert number(found, "Oracle", setting, "abs_rel") < 0.01  # the code has 256 levels
    assert number(found, "Oracle", setting, "delta_1") == 1
    assert number(found, "Oracle", "stride 1, fitted to 33 images", "abs_rel") < 0.01
    # Log depth is uniform: the best that can be done without seeing is to answer its mean.
    log = np.linspace(np.log(4), np.log(40), 10_001)
    blind = np.abs(np.exp(log.mean() - log) - 1).mean()
    for name, of in (
        ("Noise", setting),
        ("Cheat", setting),
        ("position only", "u, v, fitted to 33 images"),
    ):
        assert number(found, name, of, "abs_rel") == pytest.approx(blind, rel=0.25)


def test_few_images_are_used_as_well(found):
    images = [r.setting for r in found.rows if (r.probe, r.subject) == ("depth", "Oracle")]
    assert images[:3] == [
        f"all strides, fitted to {n}" for n in ("1 image", "3 images", "33 images")
    ]


def test_twice_the_same_to_the_last_digit(found):
    again = evaluated(ExactStore(frames=48), Oracle, Cheat)
    assert json.dumps(as_json(again)) == json.dumps(as_json(found))


def test_the_tables_say_what_was_measured(found):
    text, markdown, plain = as_text(found), as_markdown(found), as_json(found)
    assert "Measured on 15 images, of the frames 33:48." in text
    assert "Probes are fitted to 33 images, of the frames 0:33: other scenes." in text
    assert "| Cheat | pixel to point, ratio | 1.00 ± 0.00 | 1.00 ± 0.00 | 1.00 ± 0.00 |" in markdown
    assert plain["measured"]["frames"] == "33:48"
    assert plain["fingerprint"] == "e7ac7"
    row = plain["results"][0]
    assert row["metrics"]["recall_at_1"]["mean"] == np.mean(row["metrics"]["recall_at_1"]["values"])
    assert all(len(part.split("|")) == 7 for part in markdown.splitlines() if part[:1] == "|")


def test_equal_pictures_are_named():
    found = evaluated(ExactStore(frames=6, equal=True), Oracle, probes=("retrieval", "depth"))
    notes = "\n".join(found.notes)
    assert "3 of 3 measured images are nearly equal to one that is also measured on" in notes
    assert "nearly equal to one that is fitted to, as that of frame 3 to that of frame 0" in notes
    assert (
        "3 of 3 control images are nearly equal to the right ones: these are no controls" in notes
    )
    # And such a control does not look like one.
    assert number(found, "Oracle", "pixel to point, ratio", "recall_at_1") == 1


def test_what_cannot_be_measured_is_refused():
    store = ExactStore(frames=4, scene_length=4)
    with pytest.raises(UsageError, match="no frames are left"):
        evaluated(store, Oracle, frames="0:3", probes=("depth",))
    with pytest.raises(UsageError, match="measured by points"):
        evaluated(ExactStore(), Oracle, probes=("points",))


def test_a_single_encoder_has_the_probe_that_it_is_for():
    division = divide(ExactStore(), Selection(path=""), None)
    for part, probe in (("image", "depth"), ("points", "points"), ("method", "retrieval")):
        evaluator = Evaluator(
            subjects=[Subject(name="one", **{part: Oracle()})],
            random=lambda: subject(Noise),
            division=division,
            sample=SAMPLE,
            device=CPU,
        )
        assert evaluator.possible == (probe,)


def test_controls_are_of_other_scenes_and_of_no_equal_picture():
    store = ExactStore(frames=9, scene_length=3)
    images = select_images(store, Selection(path=""))
    for frame in range(9):
        control = find_control(images, frame, 0, read_picture(store, frame, 0, SIZE), SIZE)
        assert control.other_scene
        assert control.frame // 3 != frame // 3
        assert not control.near_duplicate
        assert torch.equal(control.image, read_picture(store, control.frame, 0, SIZE))
    alone = ExactStore(frames=3, scene_length=3)
    images = select_images(alone, Selection(path=""))
    control = find_control(images, 0, 0, read_picture(alone, 0, 0, SIZE), SIZE)
    assert not control.other_scene
    assert control.frame in (1, 2)
    single = ExactStore(frames=1, scene_length=1)
    assert (
        find_control(select_images(single, Selection(path="")), 0, 0, control.image, SIZE) is None
    )


def test_near_duplicates_are_told_by_grey_levels():
    pictures = torch.full((4, 3, 8, 8), 100, dtype=torch.uint8)
    pictures[1] += 4
    pictures[2] += 12
    pictures[3] += 60
    assert near_duplicates(pictures, pictures) == [(0, 1), (1, 0)]
    assert near_duplicates(pictures[3:], pictures[:3]) == []
    assert near_duplicates(pictures[:1], pictures[:1].clone()) == [(0, 0)]


def test_the_last_third_of_the_scenes_is_measured_on():
    store = ExactStore(frames=18, scene_length=3)
    division = divide(store, Selection(path=""), None)
    assert division.measured.frames.tolist() == list(range(12, 18))
    assert division.fitted.frames.tolist() == list(range(12))
    assert division.how == "other scenes"
    assert division.same_scenes == ()


def test_a_single_scene_is_divided_with_a_gap():
    store = ExactStore(frames=20, scene_length=20)
    division = divide(store, Selection(path="", frames="16:20"), None)
    assert division.fitted.frames.tolist() == list(range(14))
    assert "gap of 2" in division.how
    assert division.same_scenes == ("s0",)
    division = divide(store, Selection(path="", frames="8:10"), None)
    assert division.fitted.frames.tolist() == [*range(6), *range(12, 20)]
    whole = divide(store, Selection(path=""), None)
    assert whole.measured.frames.tolist() == list(range(14, 20))
    assert whole.fitted.frames.tolist() == list(range(12))


def test_both_sides_can_be_selected():
    store = ExactStore(frames=18, scene_length=3)
    given = divide(
        store, Selection(path="", scenes=("s1",)), Selection(path="", scenes=("s0", "s5"))
    )
    assert given.measured.frames.tolist() == [3, 4, 5]
    assert given.fitted.frames.tolist() == [0, 1, 2, 15, 16, 17]
    with pytest.raises(UsageError, match="both measured on and fitted to"):
        divide(store, Selection(path="", frames="0:4"), Selection(path="", frames="3:9"))


def test_training_frames_are_refused():
    store = ExactStore(frames=18, scene_length=3)
    division = divide(store, Selection(path="", frames="6:12"), None)
    trained = trained_frames(store, [("e7ac7", {"scenes": ("s0", "s2")}), ("other", {})])
    assert trained.tolist() == [0, 1, 2, 6, 7, 8]
    with pytest.raises(UsageError, match=r"3 of the frames .* by mine: 6:9") as caught:
        refuse_trained(division, "mine", trained)
    assert "3:6, 9:18" in caught.value.fix
    assert "--allow-training-frames" in caught.value.fix
    refuse_trained(division, "mine", trained_frames(store, [("other", {})]))


def test_images_that_are_left_out_are_told():
    store = ExactStore(frames=900)
    division = divide(store, Selection(path="", frames="0:300"), None)
    measured, most, fitted, *rest = describe_division(division)
    assert measured.startswith("Measured on 300 images")
    assert most == "Of those, evenly spread: the probes 200, retrieval 256."
    assert fitted.startswith("Probes are fitted to at most 200 of 600 images")
    assert rest == []


def test_ranges_of_frames():
    assert describe_frames(np.array([5, 0, 1, 1, 2, 9])) == "0:3, 5:6, 9:10"
    assert describe_frames(np.arange(0, 20, 2)).endswith("(10 ranges)")


def test_frames_without_points_are_an_error(monkeypatch):
    store = ExactStore()
    make = ExactStore.__getitem__

    def hidden(self, frame):
        view = make(self, frame)
        view.cameras["front"].correspondences.visible[:] = False
        return view

    monkeypatch.setattr(ExactStore, "__getitem__", hidden)
    with pytest.raises(StoreError, match="no image of the selected frames has a visible point"):
        evaluated(store, Oracle)


class Faded(Oracle):
    """Its batch norm has statistics with which nothing is left."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.norm.running_mean.fill_(1e9)  # all digits go with it

    def see(self, images):
        return self.norm(super().see(images))


@pytest.mark.parametrize("kind", [Oracle, Faded])
def test_depth_is_that_of_the_other_images_and_batch_norm_is_measured_anew(kind):
    images = select_images(ExactStore(frames=6), Selection(path=""))
    fit = draw_pixels(read_pictures(images, SIZE), seed=0)
    test = replace(fit, depth_m=2 * fit.depth_m)
    everything = [np.arange(6)]
    errors = probe_depth(kind().eval(), fit, test, everything, device=CPU)[0].errors
    assert errors.abs_rel == pytest.approx(0.5, abs=1e-3)
