"""Products written out: right, and the same bytes whatever else is computed with them."""

import numpy as np
import pytest

from simipu.geometry import se3
from simipu.pipelines.synthetic.rowwise import transformed
from synthetic_scene import pose


@pytest.mark.parametrize("own", [False, True])
def test_a_transformed_point_does_not_depend_on_the_others(own):
    rng = np.random.default_rng(4)
    points = rng.uniform(-200.0, 200.0, (2000, 3))
    T = np.array([pose(1e3 * rng.standard_normal(3), *rng.uniform(-3, 3, 3)) for _ in points])
    found = transformed(T if own else T[0], points)
    expected = [se3.apply(T[k if own else 0], points[k : k + 1])[0] for k in range(len(points))]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)
    for k in range(0, len(points), 97):
        alone = transformed(T[k : k + 1] if own else T[0], points[k : k + 1])
        assert alone.tobytes() == found[k].tobytes()
