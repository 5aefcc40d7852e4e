"""Features belong to the pixels and points they are drawn at; colours tell how alike they are."""

import numpy as np
import pytest
import torch
from torch import nn

from fake_store import COLOUR_PER_PX, FakeStore
from simipu.data.augment import ImageView
from simipu.data.config import SampleConfig
from simipu.data.photometric import IMAGENET_MEAN, IMAGENET_STD
from simipu.errors import UsageError
from simipu.models.image import sample_features
from simipu.viz import features as module
from simipu.viz.encoders import Encoders, projected, settle_batch_norm
from simipu.viz.feature_colors import principal_colors, similarity
from simipu.viz.feature_figures import (
    camera_from_above,
    draw_principal,
    draw_similarity,
    pixel_query,
    point_query,
)
from simipu.viz.features import (
    Features,
    ImagePoints,
    compute_features,
    gather_points,
)

SAMPLE = SampleConfig(height=64, width=128, pairs=16, points=64, cell_px=1)


def image_of(store=None, sample=SAMPLE, **options) -> ImagePoints:
    frame = (store or FakeStore(sizes={"left": (60, 120)}))[0]
    return gather_points(frame, frame.cameras["left"], sample, **options)


def colours_at(images, uv):
    """A pixel's feature is its colour in the image, 0 to 255: it tells the pixel."""
    std, mean = (torch.tensor(v)[:, None, None] for v in (IMAGENET_STD, IMAGENET_MEAN))
    rgb = 255 * (images * std + mean)
    return sample_features(rgb, uv, (images.shape[2], images.shape[3]))


def coordinates(cloud, queries):
    """A point's feature are its coordinates, which in the fake store are its pixel's."""
    return cloud.xyz[:, :queries]


TELLING = Encoders(colours_at, coordinates)


@pytest.mark.parametrize("size", [(64, 128), (160, 320)])  # cells of 1 px, and of 3 1/53 px
def test_pixels_are_those_of_the_stored_image(size):
    sample = SampleConfig(height=size[0], width=size[1], pairs=16, points=64)
    image = image_of(sample=sample)
    found = compute_features(TELLING, image, sample, query=(70.0, 20.0))
    view = image.view
    height, width = found.grid.shape[:2]
    v, u = np.mgrid[:height, :width] + 0.5
    expected_u = view.left + u / width * view.width - 0.5
    expected_v = view.top + v / height * view.height - 0.5
    inner = np.s_[2:-2, 2:-2]  # the border is blurred by resizing
    got = found.grid / COLOUR_PER_PX
    np.testing.assert_allclose(got[inner][..., 0], expected_u[inner], atol=0.5)
    np.testing.assert_allclose(got[inner][..., 1], expected_v[inner], atol=0.5)
    np.testing.assert_allclose(found.query[:2] / COLOUR_PER_PX, (70, 20), atol=0.5)

    inside = ((image.uv > 3) & (image.uv < (116, 56))).all(axis=1)
    at_points = found.at_points[inside, :2] / COLOUR_PER_PX
    np.testing.assert_allclose(at_points, image.uv[inside], atol=0.5)


@pytest.mark.parametrize("points", [400, 37, 9])
def test_each_point_gets_its_own_feature_however_many_there_are(points):
    store = FakeStore(points=points)
    image = image_of(store)
    found = compute_features(TELLING, image, SAMPLE)
    assert found.points.tolist() == store[0].points.xyz[image.rows].tolist()
    assert found.query is None


def test_points_are_embedded_amid_others_of_the_image_never_amid_copies_of_themselves():
    clouds = []

    def remember(cloud, queries):
        clouds.extend(cloud.xyz)
        assert cloud.distinct.all()
        return cloud.xyz[:, :queries]

    image = image_of()
    compute_features(Encoders(colours_at, remember), image, SAMPLE)
    assert len(clouds) == -(-len(image.rows) // SAMPLE.pairs)
    for cloud in clouds:
        assert len(cloud) == SAMPLE.points == len(torch.unique(cloud, dim=0))


def test_points_are_the_visible_ones_that_the_network_sees():
    store = FakeStore(sizes={"left": (60, 120), "other": (60, 120)})
    tall = SampleConfig(height=64, width=64, pairs=16, points=64)
    image = image_of(store, tall)
    matches = store[0].cameras["left"].correspondences
    assert image.view.width == 60
    inside = (matches.uv[:, 0] >= 29.5) & (matches.uv[:, 0] < 89.5)
    assert image.rows.tolist() == matches.row[inside & matches.visible].tolist()
    assert image.visible == len(image.rows)


def test_only_points_within_the_range_of_the_training_take_part():
    ranged = SampleConfig(height=64, width=128, pairs=16, points=64, min_range_m=40, max_range_m=80)
    image = image_of(sample=ranged)
    distance = np.linalg.norm(image.xyz, axis=1)
    assert 40 <= distance.min() <= distance.max() <= 80
    np.testing.assert_array_equal(image.xyz[image.place][:, :2], image.uv)


def test_of_many_points_some_are_drawn_and_the_wanted_one_always(monkeypatch):
    monkeypatch.setattr(module, "MAX_POINTS", 20)
    few = image_of()
    assert len(few.rows) == 20 < few.visible
    hidden = np.flatnonzero(~FakeStore()[0].cameras["left"].correspondences.visible)[0]
    more = image_of(include=int(hidden))
    assert set(more.rows.tolist()) == {*few.rows.tolist(), int(hidden)}
    assert more.rows[more.find_row(int(hidden))] == hidden


def test_what_the_network_does_not_see_is_refused():
    image = image_of()
    with pytest.raises(UsageError, match="point 5000 is not where the network sees"):
        image.find_row(5000)
    image.check_pixel(0, 59)
    with pytest.raises(UsageError, match="u from 0 to 119"):
        image.check_pixel(120, 30)
    with pytest.raises(UsageError, match="sees no visible point"):
        image_of(FakeStore(empty=(0,)))


def test_similarity_is_the_cosine():
    rng = np.random.default_rng(0)
    features, query = rng.normal(size=(4, 5, 7)).astype("f4"), rng.normal(size=7).astype("f4")
    expected = [
        [np.dot(f, query) / np.linalg.norm(f) / np.linalg.norm(query) for f in row]
        for row in features
    ]
    np.testing.assert_allclose(similarity(features, query), expected, rtol=1e-5)
    assert similarity(np.zeros((1, 7), dtype="f4"), query).tolist() == [0.0]


def features_of(latent, rng):
    """What two encoders make of the same three quantities, each in its own way."""
    to_pixel, to_point = rng.normal(size=(2, 3, 20))
    return Features(
        grid=(latent @ to_pixel).reshape(20, 30, 20).astype("f4"),
        at_points=(latent[:200] @ to_pixel).astype("f4"),
        points=(latent[:200] @ to_point).astype("f4"),
        query=None,
    )


def test_points_that_know_what_their_pixels_know_have_their_colours():
    rng = np.random.default_rng(0)
    pixels, points = principal_colors(features_of(rng.normal(size=(600, 3)), rng))
    same = pixels.reshape(-1, 3)[:200].astype(int)
    inside = (same > 0).all(axis=1) & (same < 255).all(axis=1)
    # Points and pixels are whitened over different sets: 200 of 600.
    assert np.abs(points[inside] - same[inside]).mean() < 12
    shuffled = rng.permutation(200)
    assert np.abs(points[shuffled][inside] - same[inside]).mean() > 40


def test_colours_are_the_principal_components_with_two_deviations_either_side():
    rng = np.random.default_rng(1)
    found = features_of(rng.normal(size=(600, 3)) * (3, 2, 1), rng)
    pixels, _ = principal_colors(found)
    flat = found.grid.reshape(600, -1).astype(np.float64)
    _, _, directions = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    scores = (flat - flat.mean(axis=0)) @ directions[:3].T
    expected = 255 * np.clip(0.5 + scores / scores.std(axis=0) / 4, 0, 1)
    got = pixels.reshape(600, 3)
    for channel in range(3):  # a component's sign is free
        up = np.abs(got[:, channel] - expected[:, channel]).max()
        down = np.abs(255 - got[:, channel] - expected[:, channel]).max()
        assert min(up, down) < 1.6


def test_the_statistics_of_random_weights_are_those_of_the_image():
    class Method(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def embed_pixels(self, images, uv):
            return colours_at(images, uv)

        def embed_points(self, cloud, *, queries):
            return self.norm(cloud.xyz[:, :queries].flatten(0, 1)).view(-1, queries, 3)

    method, image = Method().eval(), image_of()
    settle_batch_norm(method, image, SAMPLE)
    assert not method.norm.training
    mean = image.xyz[image.place].mean(axis=0)
    np.testing.assert_allclose(method.norm.running_mean[:2], mean[:2], rtol=0.1)
    again = compute_features(projected(method), image, SAMPLE)
    assert np.abs(again.points[:, :2].mean(axis=0)).max() < 0.2


def drawable() -> ImagePoints:
    store = FakeStore()
    frame = store[0]
    camera = frame.cameras["left"]
    camera.image = lambda: np.zeros((60, 120, 3), dtype=np.uint8)
    # Depth is v, to the right is u: a view from above is the image upside down.
    camera.T_camera_from_lidar = np.array(
        [[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    )
    return gather_points(frame, camera, SAMPLE)


def rounded(place):
    return tuple(np.round(np.asarray(place, dtype=np.float64), 3).tolist())


def marks(axes):
    """Centres of the rings and of the crosses in some axes."""
    rings, crosses = set(), set()
    for collection in axes.collections:
        if len(collection.get_offsets()) == 1:
            hollow = not len(collection.get_facecolors())
            (rings if hollow else crosses).add(rounded(collection.get_offsets()[0]))
    return rings, crosses


def test_the_query_and_the_most_similar_are_marked_where_they_are():
    image = drawable()
    found = compute_features(TELLING, image, SAMPLE)
    place = 5
    wanted = found.points[place]
    u, v = image.uv[place].tolist()
    figure = draw_similarity(image, found, point_query(image, found, place), head="")
    pixels, points, above = figure.axes[:3]
    at = rounded((u, v))
    assert marks(pixels)[0] == marks(points)[0] == {at}
    others = similarity(found.points, wanted)
    others[place] = -2
    best = image.uv[others.argmax()]
    assert marks(points)[1] == {rounded(best)}
    assert marks(above)[0] == {at}  # right is u, depth is v
    np.testing.assert_allclose(camera_from_above(image), image.uv, rtol=1e-6)

    # The cell that is most similar to the point holds a pixel of about the same direction.
    (cross,) = marks(pixels)[1]
    assert np.arctan2(*cross) == pytest.approx(np.arctan2(u, v), abs=0.05)


def test_a_pixel_is_compared_and_its_nearest_point_marked_from_above():
    image = drawable()
    uv = tuple((image.uv[3] + 0.2).tolist())
    found = compute_features(TELLING, image, SAMPLE, query=uv)
    query = pixel_query(image, found, uv)
    assert query.point == 3
    figure = draw_similarity(image, found, query, head="run")
    assert marks(figure.axes[2])[0] == {rounded(image.uv[3])}
    assert "run   similar to pixel" in figure.texts[0].get_text()


def test_the_heat_map_covers_what_the_network_sees_of_the_image():
    image = drawable()
    found = compute_features(TELLING, image, SAMPLE)
    figure = draw_similarity(image, found, point_query(image, found, 0), head="")
    axes = figure.axes[0]
    background, heat = axes.images
    view: ImageView = image.view
    assert background.get_extent() == [-0.5, 119.5, 59.5, -0.5]
    assert heat.get_extent() == [
        view.left - 0.5, view.left + view.width - 0.5,
        view.top + view.height - 0.5, view.top - 0.5,
    ]  # fmt: skip
    assert axes.get_xlim() == tuple(heat.get_extent()[:2])


def test_encoders_are_side_by_side_and_weights_below_each_other():
    image = drawable()
    found = compute_features(TELLING, image, SAMPLE)
    figure = draw_principal(image, [("step 7", found), ("random weights", found)], head="")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.split("   ")[0] for title in titles] == [
        "image encoder, step 7",
        "point encoder, step 7",
        "image encoder, random weights",
        "point encoder, random weights",
    ]
    discs = figure.axes[1].collections[0]
    np.testing.assert_array_equal(discs.get_offsets(), image.uv.astype(np.float64))
