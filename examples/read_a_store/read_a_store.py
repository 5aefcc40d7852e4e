"""Correspondences of each frame and camera, through simipu and through zarr-python alone."""

import sys

import numpy as np
import zarr

import simipu


def main(path: str) -> None:
    store = simipu.open_store(path)
    print(store)
    group = zarr.open_group(path, mode="r")
    pairs_group = group[store.attributes["correspondence"]["group"]]
    for frame in store:
        points = frame.points.xyz
        for name, camera in frame.cameras.items():
            pairs = camera.correspondences
            print(
                f"{frame.id}  {name}: {len(pairs):,} of {len(points):,} points in the image, "
                f"{pairs.visible.mean():.1%} visible, median depth {np.median(pairs.depth):.1f} m"
            )

            # The same by hand: extents say which rows of the flat arrays are this camera's.
            index = (frame.index, store.cameras.index(name))
            start, count = pairs_group["start"][index], pairs_group["count"][index]
            u = pairs_group["u"][start : start + count]
            assert np.array_equal(u, pairs.uv[:, 0])

            # The geometry is plain matrices: camera coordinates, then pixels.
            xyz = points[pairs.row].astype(np.float64)
            T = camera.T_camera_from_lidar
            in_camera = xyz @ T[:3, :3].T + T[:3, 3]
            pixels = in_camera @ camera.K.T
            uv = pixels[:, :2] / pixels[:, 2:]
            if not camera.distortion.any():
                assert np.allclose(uv, pairs.uv, atol=1e-3)


if __name__ == "__main__":
    main(sys.argv[1])
