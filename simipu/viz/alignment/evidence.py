"""What the cameras of a store have seen: how edges of the LiDAR lie on edges of the images."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simipu.viz.alignment.edges import find_edges, scan_lines
from simipu.viz.alignment.profiles import Gradients
from simipu.viz.alignment.rotation import image_motion

if TYPE_CHECKING:
    from simipu.records import FloatArray
    from simipu.store.views import CameraView, FrameView

MOST_RUNS = 12
LEAST_DRIVEN_M = 0.3  # what is seen again from the same place is no new evidence
TIME_OFFSETS_DEG = np.array([-0.1, -0.05, 0.0, 0.05, 0.1])


class Seen(NamedTuple):
    """One image: profiles of its cells, number of edges, and how it fits in time."""

    profiles: FloatArray
    edges: int
    fit: tuple[float | None, float, float | None]  # of the image before, its own, the one after
    place: FloatArray | None  # of the vehicle in the world


class SeenFrame:
    """Edges of a frame's cloud and images, kept while its neighbours are compared with it."""

    def __init__(self, frame: FrameView) -> None:
        self.index, self.scene = frame.index, frame.scene
        pose = frame.T_world_from_ego
        self.place = None if pose is None else pose[:3, 3]
        line = scan_lines(frame.points)
        intensity = frame.points["intensity"] if "intensity" in frame.points.columns else None
        self.views = dict(frame.cameras) if line is not None else {}
        self.edges = {
            name: find_edges(view.correspondences, line, intensity)
            for name, view in self.views.items()
            if line is not None
        }
        self.gradients = {
            name: Gradients(view.image(), float(view.K[0, 0])) for name, view in self.views.items()
        }

    def compare(
        self, before: SeenFrame | None, after: SeenFrame | None, seen: dict[str, list[Seen]]
    ) -> None:
        """Note how the edges of every camera fit its own image and those beside it."""
        for name, view in self.views.items():
            profiles, edges = self.gradients[name].profiles(
                self.edges[name], view.width, view.height
            )
            before_it, own, after_it = (
                self._fit_of(other, name, view) for other in (before, self, after)
            )
            fit = (before_it, own or 0.0, after_it)
            seen[name].append(Seen(profiles, edges, fit, self.place))

    def _fit_of(self, other: SeenFrame | None, name: str, view: CameraView) -> float | None:
        """How well the edges fit the image of this frame or a neighbour; None where it is none."""
        if other is None or name not in other.gradients or other.scene != self.scene:
            return None
        if abs(other.index - self.index) > 1:
            return None
        profiles, edges = other.gradients[name].profiles(
            self.edges[name], view.width, view.height, TIME_OFFSETS_DEG
        )
        return float(profiles.mean(axis=(1, 2)).sum() / max(edges, 1))


class Evidence(NamedTuple):
    """What one camera has seen: profiles summed over runs of frames, and how its image moves."""

    runs: list[FloatArray]
    turn: FloatArray
    edges: int

    @classmethod
    def of(cls, seen: list[Seen], view: CameraView) -> Evidence:
        """The evidence of all images of a camera, in the order of their frames."""
        runs = [np.sum([one.profiles for one in run], axis=0) for run in group_runs(seen)]
        return cls(runs, image_motion(view), sum(one.edges for one in seen))

    def from_lidar(self, view: CameraView) -> Evidence:
        """The same about the axes of the LiDAR."""
        axes = view.T_camera_from_lidar[:3, :3].T
        return self._replace(turn=np.tensordot(axes, self.turn, axes=1))


def group_runs(seen: list[Seen]) -> list[list[Seen]]:
    """Frames that count as one: those of a part of the store, or of a vehicle that stands still."""
    least = -(-len(seen) // MOST_RUNS)
    runs: list[list[Seen]] = []
    for one in seen:
        if runs and (len(runs[-1]) < least or _is_near(runs[-1][0].place, one.place)):
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def _is_near(place: FloatArray | None, other: FloatArray | None) -> bool:
    if place is None or other is None:
        return False
    return bool(np.linalg.norm(place - other) < LEAST_DRIVEN_M)
