import importlib.util

import pytest
import torch

from simipu.errors import UsageError
from simipu.models import POINT_ENCODERS
from simipu.models.points import build_point_encoder


@pytest.mark.parametrize("coordinates", ["none", "relative", "absolute"])
@pytest.mark.parametrize("name", POINT_ENCODERS)
def test_each_encoder_serves_as_many_pairs_as_were_said(name, coordinates):
    if name == "sparse-unet" and importlib.util.find_spec("spconv") is None:
        pytest.skip("spconv is not installed")
    encoder = build_point_encoder(name, pairs=6, features=2, coordinates=coordinates)
    distinct = torch.ones(2, 40, dtype=torch.bool)
    found = encoder(torch.randn(2, 40, 3), torch.randn(2, 40, 2), distinct, 6)
    assert found.shape == (2, 6, encoder.channels)


def test_with_1024_pairs_the_released_encoder_has_its_own_sizes():
    encoder = build_point_encoder("pointnet2-msg", pairs=1024)
    assert encoder.centres == (4096, (1024, 1024), (512, 512))
    assert encoder.ffps_rows == 512


def test_an_unknown_encoder_is_refused():
    with pytest.raises(UsageError, match=r"'pointnet3'\n.*pointnet2, pointnet2-msg, sparse-unet"):
        build_point_encoder("pointnet3", pairs=8)
