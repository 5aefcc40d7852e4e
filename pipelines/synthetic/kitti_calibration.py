"""KITTI's calibration files, in the official print formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from .rigs import KittiRig

    _Entries = dict[str, npt.ArrayLike]

# Before rectification, which nobody needs for rectified images: values of the recording date
# 2011_09_26, of the left cameras for the right ones too.
_SIZE = (1392, 512)
_K = (984.2439, 0, 690, 0, 980.8141, 233.1966, 0, 0, 1)
_D = (-3.728755e-01, 2.037299e-01, 2.219027e-03, 1.383707e-03, -7.233722e-02)
_R_RECT_02 = np.array(
    [
        [9.998817e-01, 1.511453e-02, -2.841595e-03],
        [-1.511724e-02, 9.998853e-01, -9.338510e-04],
        [2.827154e-03, 9.766976e-04, 9.999955e-01],
    ]
)


def object_text(rig: KittiRig) -> str:
    """Return the content of a file of ``calib`` of the object benchmark."""
    entries = {f"P{i}": P for i, P in enumerate(rig.P)}
    entries["R0_rect"] = rig.R0_rect
    entries["Tr_velo_to_cam"] = rig.Tr_velo_to_cam
    entries["Tr_imu_to_velo"] = rig.Tr_imu_to_velo
    return _text(entries, 12) + "\n"  # the official files end in an empty line


def raw_texts(rig: KittiRig) -> dict[str, str]:
    """Return the calibration files of a recording date of KITTI raw: name -> content."""
    cameras: _Entries = {"corner_dist": [9.95e-2]}
    R_rects = (rig.R0_rect, rig.R0_rect, _R_RECT_02, _R_RECT_02)
    for i, (camera, P, R_rect) in enumerate(zip(rig.cameras, rig.P, R_rects, strict=True)):
        cameras[f"S_0{i}"] = _SIZE
        cameras[f"K_0{i}"] = _K
        cameras[f"D_0{i}"] = _D
        # Camera i is where R_rect_i (R_i x + T_i) = R_rect_0 x + t_i, with P_i = K [I | t_i].
        cameras[f"R_0{i}"] = np.linalg.inv(R_rect) @ rig.R0_rect
        cameras[f"T_0{i}"] = np.linalg.inv(R_rect) @ np.linalg.solve(P[:, :3], P[:, 3])
        cameras[f"S_rect_0{i}"] = (camera.width, camera.height)
        cameras[f"R_rect_0{i}"] = R_rect
        cameras[f"P_rect_0{i}"] = P
    velo, imu = rig.Tr_velo_to_cam, rig.Tr_imu_to_velo
    lidar: _Entries = {"R": velo[:, :3], "T": velo[:, 3], "delta_f": [0, 0], "delta_c": [0, 0]}
    return {
        "calib_cam_to_cam.txt": "calib_time: 09-Jan-2012 13:57:47\n" + _text(cameras, 6),
        "calib_velo_to_cam.txt": "calib_time: 15-Mar-2012 11:37:16\n" + _text(lidar, 6),
        "calib_imu_to_velo.txt": "calib_time: 25-May-2012 16:47:16\n"
        + _text({"R": imu[:, :3], "T": imu[:, 3]}, 6),
    }


def _text(entries: Mapping[str, npt.ArrayLike], digits: int) -> str:
    lines = []
    for key, values in entries.items():
        numbers = (_number(float(value), digits) for value in np.ravel(values))
        lines.append(f"{key}: {' '.join(numbers)}\n")
    return "".join(lines)


def _number(value: float, digits: int) -> str:
    # What is not quite 0 for rounding, and the negative zero, are 0 in the official files.
    return f"{0.0 if abs(value) < 1e-14 else value:.{digits}e}"
