"""The tests that a package with a source of its own should have."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from make_drive import write_drive
from PIL import Image, ImageFilter
from roof_rig import RoofRig

from simipu.correspond.compute import correspond
from simipu.correspond.policy import Policy
from simipu.geometry.se3 import invert
from simipu.pipelines.sources.contract import check_source


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("rig")
    write_drive(root, "drive-1", frames=4)
    write_drive(root, "drive-2", frames=2)
    return root


def test_it_keeps_the_contract(root):
    assert check_source(RoofRig(root), frames=None).read == 6
    assert check_source(RoofRig(root, drive="drive-2")).read == 2


def agreement(frame, name, **changes):
    """Share of the near points whose pixel is as bright as they are reflective."""
    image = replace(frame.cameras[name], **changes)
    pairs = correspond(
        np.stack([frame.lidar.columns[axis] for axis in "xyz"], axis=1),
        T_camera_from_lidar=image.T_camera_from_lidar,
        K=image.K,
        distortion=image.distortion,
        width=image.width,
        height=image.height,
        policy=Policy(occlusion="none"),
    )
    light = Image.open(BytesIO(image.data)).convert("L").point(lambda value: value > 127)
    u, v = np.floor(pairs.uv + 0.5).astype(int).T
    darkest, lightest = (
        np.asarray(light.filter(kind(3)))[v, u]
        for kind in (ImageFilter.MinFilter, ImageFilter.MaxFilter)
    )
    # Not at the edge of a field, where a pixel shows both.
    clear = (pairs.depth < 15) & (darkest == lightest)
    assert clear.sum() > 2000
    bright = frame.lidar.columns["reflectivity"][pairs.row[clear]] > 0.5
    return (bright == lightest[clear]).mean()


@pytest.mark.parametrize("camera", ["front", "right"])
def test_pixels_show_what_the_points_hit(root, camera):
    source = RoofRig(root)
    frame = source.read(source.scan().scenes[0].frames[3])
    image = frame.cameras[camera]
    assert agreement(frame, camera) > 0.97  # of the rest, most are hidden by something
    # The test would notice what is easily forgotten.
    standing = invert(image.T_ego_from_camera) @ frame.lidar.T_ego_from_lidar
    assert agreement(frame, camera, T_camera_from_lidar=standing) < 0.9
    if image.distortion.any():
        assert agreement(frame, camera, distortion=np.zeros(5)) < 0.9
