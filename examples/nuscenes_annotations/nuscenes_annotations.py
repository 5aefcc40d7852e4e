"""Joins nuScenes' boxes to the frames of a store: how many points of each kind a camera sees."""

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

import simipu


def read_boxes(tables: Path) -> dict[str, list[dict]]:
    """Sample token -> its annotations, each with the name of its category."""

    def rows(name: str) -> list[dict]:
        return json.loads((tables / f"{name}.json").read_text())

    category = {row["token"]: row["name"] for row in rows("category")}
    instance = {row["token"]: category[row["category_token"]] for row in rows("instance")}
    boxes = defaultdict(list)
    for row in rows("sample_annotation"):
        boxes[row["sample_token"]].append({**row, "category": instance[row["instance_token"]]})
    return boxes


def rotation(quaternion: list[float]) -> np.ndarray:
    """The (3, 3) matrix of a unit quaternion w x y z."""
    w, x, y, z = quaternion
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


def is_in_box(world: np.ndarray, box: dict) -> np.ndarray:
    """Which of (N, 3) points in the world frame lie in an annotated box."""
    width, length, height = box["size"]
    local = (world - box["translation"]) @ rotation(box["rotation"])
    return (np.abs(local) <= np.array([length, width, height]) / 2).all(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path, help="with correspondences")
    parser.add_argument("root", type=Path, help="the data set that the store was made from")
    arguments = parser.parse_args()
    store = simipu.open_store(arguments.store)
    boxes = read_boxes(arguments.root / store.attributes["source"]["options"]["version"])

    counts: dict[str, Counter] = defaultdict(Counter)
    samples, keyframes = store.frame_texts("sample_token"), store.frame_texts("is_key_frame")
    for frame, sample, is_key_frame in zip(store, samples, keyframes, strict=True):
        if is_key_frame == "0":  # annotations hold at keyframes
            continue
        seen = np.zeros(len(frame.points), dtype=bool)
        for camera in frame.cameras.values():
            pairs = camera.correspondences
            seen[pairs.row[pairs.visible]] = True
        T_world_from_lidar = frame.T_world_from_ego @ frame.points.T_ego_from_lidar
        world = frame.points.xyz @ T_world_from_lidar[:3, :3].T + T_world_from_lidar[:3, 3]
        for box in boxes[sample]:
            inside = is_in_box(world, box)
            counts[box["category"]].update(
                boxes=1,
                annotated=box["num_lidar_pts"],
                points=int(inside.sum()),
                seen=int((inside & seen).sum()),
            )

    print(f"{'category':<28}{'boxes':>8}{'annotated':>11}{'points':>8}{'seen':>8}")
    for category, count in sorted(counts.items()):
        print(
            f"{category:<28}{count['boxes']:>8}{count['annotated']:>11}{count['points']:>8}"
            f"{count['seen']:>8}"
        )
    print(f"{sum(count['boxes'] for count in counts.values())} boxes in {len(store)} frames")


if __name__ == "__main__":
    main()
