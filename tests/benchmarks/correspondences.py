"""Time of the correspondences of one sweep and one camera, over that of a plain projection.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python tests/benchmarks/correspondences.py

The plain projection is what one would write in a few lines of NumPy: homogeneous points times one
matrix in float64, division, bounds. Both take turns in one process, so that a busy machine slows
both; the ratio of the medians is reported.
"""

import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

import raycast  # noqa: E402
from simipu.correspond.compute import correspond  # noqa: E402
from simipu.correspond.policy import Policy  # noqa: E402

REPEATS = 60
WIDTH, HEIGHT = 1242, 375


def plain_projection(xyz: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Return which of the points are inside the image."""
    x, y, depth = (np.column_stack([xyz, np.ones(len(xyz))]) @ P.T).T
    u, v = x / depth, y / depth
    inside_u = (u >= -0.5) & (u < WIDTH - 0.5)
    inside_v = (v >= -0.5) & (v < HEIGHT - 0.5)
    return (depth >= 1.0) & inside_u & inside_v


def report(name: str, xyz: np.ndarray, K: np.ndarray, T: np.ndarray) -> None:
    def ours(policy: Policy) -> None:
        correspond(
            xyz,
            T_camera_from_lidar=T,
            K=K,
            distortion=np.zeros(5),
            width=WIDTH,
            height=HEIGHT,
            policy=policy,
        )

    rivals = {
        "plain": lambda: plain_projection(xyz, K @ T[:3]),
        "without": lambda: ours(Policy(occlusion="none")),
        "with": lambda: ours(Policy()),
    }
    milliseconds: dict[str, list[float]] = {key: [] for key in rivals}
    for _ in range(REPEATS):
        for key, run in rivals.items():
            start = time.perf_counter()
            run()
            milliseconds[key].append((time.perf_counter() - start) * 1e3)
    median = {key: statistics.median(values) for key, values in milliseconds.items()}
    print(
        f"{name}: {len(xyz)} points, plain projection {median['plain']:.2f} ms, "
        f"correspondences without occlusion {median['without'] / median['plain']:.2f} times that, "
        f"with occlusion {median['with'] / median['plain']:.2f} times"
    )


def generated_sweep() -> np.ndarray:
    lidar = np.array([0.0, 0.0, 1.73])
    # The step in azimuth that yields 120 thousand points in this street.
    points = raycast.sweep(raycast.street(5), lidar, raycast.KITTI_ELEVATIONS_DEG, 0.1878)
    return (points - lidar).astype(np.float32)


def kitti_calibration(path: Path) -> tuple[np.ndarray, np.ndarray]:
    lines = (line.split(":") for line in path.read_text().splitlines() if line)
    values = {key: np.array(numbers.split(), dtype=float) for key, numbers in lines}
    P2 = values["P2"].reshape(3, 4)
    shift, R0, Tr = np.eye(4), np.eye(4), np.eye(4)
    shift[:3, 3] = np.linalg.solve(P2[:, :3], P2[:, 3])
    R0[:3, :3] = values["R0_rect"].reshape(3, 3)
    Tr[:3] = values["Tr_velo_to_cam"].reshape(3, 4)
    return P2[:, :3], shift @ R0 @ Tr


def main() -> None:
    K = np.array([[721.5, 0.0, 609.6], [0.0, 721.5, 172.9], [0.0, 0.0, 1.0]])
    T = raycast.camera_from_lidar(np.array([0.27, -0.06, -0.08]), yaw_deg=0.0)
    report("generated sweep", generated_sweep(), K, T)

    data = Path(os.environ.get("SIMIPU_SAMPLE_DATA", TESTS.parent.parent / "shared" / "data"))
    scans = sorted(data.glob("kitti_object/training/velodyne/*.bin"))
    if not scans:
        print(f"no KITTI frames under {data}: set SIMIPU_SAMPLE_DATA")
    for scan in scans:
        xyz = np.fromfile(scan, dtype="<f4").reshape(-1, 4)[:, :3]
        K, T = kitti_calibration(scan.parent.parent / "calib" / f"{scan.stem}.txt")
        report(f"KITTI object {scan.stem}", xyz, K, T)


if __name__ == "__main__":
    main()
