"""What frames, scenes and images carry beside geometry: names to join by, and the shutter."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import simipu
from folders import ONE_WORKER, contents
from simipu.correspond.policy import Policy
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.correspond import correspond_store
from simipu.records import (
    CameraImage,
    Frame,
    FrameRef,
    LidarSweep,
    Scan,
    Scene,
    Shutter,
    SourceInfo,
)
from simipu.store import commit
from simipu.store.extract import extract

# Lidar and ego axes are alike: x forward. The camera looks along x.
T_CAMERA_FROM_LIDAR = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
T_EGO_FROM_LIDAR = np.eye(4)
T_EGO_FROM_LIDAR[2, 3] = 1.5
TEXTS = ("", "ü", "a longer text", "x")


class Rig:
    """Four frames in two scenes, two cameras of which one is missing now and then."""

    root = Path("/nowhere")
    info = SourceInfo(
        name="rig",
        licence="none",
        cameras=("left", "right"),
        point_columns={"x": "<f4", "y": "<f4", "z": "<f4"},
        point_suffix=".bin",
        frame_attributes=("token", "weather"),
        policy={"margin_px": [2, 0, 0, 0]},
        ego_box_m=(-1.0, -1.0, 0.0, 3.0, 1.0, 1.4),
    )

    def scan(self):
        def refs(*numbers):
            return tuple(
                FrameRef(id=f"{n:0{n + 1}d}", max_points=200, max_image_bytes=4000, key=(n,))
                for n in numbers
            )

        scenes = (
            Scene(name="first", split="", frames=refs(0, 1, 2), attributes={"place": "Köln"}),
            Scene(name="2nd", split="test", frames=refs(3), attributes={"rain": "yes"}),
        )
        return Scan(scenes=scenes)

    def read(self, ref):
        (n,) = ref.key
        rng = np.random.default_rng(n)
        xyz = rng.uniform([2, -4, -1.5], [9, 4, 1], (200, 3)).astype(np.float32)
        shutter = Shutter(
            direction="left_to_right",
            start_ns=1000 + n,
            end_ns=2000 + n,
            linear_velocity_m_s=rng.normal(size=3),
            angular_velocity_rad_s=rng.normal(size=3),
        )
        cameras = {"left": image(f"left-{n}", shutter if n % 2 else None)}
        if n != 1:
            cameras["right"] = image("", None)
        return Frame(
            id=ref.id,
            lidar=LidarSweep(
                columns=dict(zip("xyz", xyz.T.copy(), strict=True)),
                T_ego_from_lidar=T_EGO_FROM_LIDAR,
            ),
            cameras=cameras,
            attributes={"token": f"t{n}", "weather": TEXTS[n]},
        )


def image(name, shutter):
    file = io.BytesIO()
    Image.new("RGB", (64, 48)).save(file, "PNG")
    return CameraImage(
        data=file.getvalue(),
        width=64,
        height=48,
        K=np.array([[40.0, 0, 31.5], [0, 40, 23.5], [0, 0, 1]]),
        distortion=np.zeros(5),
        T_camera_from_lidar=T_CAMERA_FROM_LIDAR,
        T_ego_from_camera=T_EGO_FROM_LIDAR @ np.linalg.inv(T_CAMERA_FROM_LIDAR),
        timestamp_ns=1500,
        id=name,
        shutter=shutter,
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    out = tmp_path_factory.mktemp("rig") / "rig.zarr"
    # Blocks of one frame: the texts of each are of another length.
    convert(Rig(), out, resources=ONE_WORKER, task_bytes=1)
    correspond_store(out, Policy.from_dict(Rig.info.policy), resources=ONE_WORKER)
    return out


@pytest.fixture
def store(path):
    return simipu.open_store(path)


def test_scenes_frames_and_images_keep_their_names(store):
    assert [scene.attributes for scene in store.scenes] == [
        {"place": "Köln", "rain": ""},
        {"place": "", "rain": "yes"},
    ]
    assert store.frame_texts("id") == ["0", "01", "002", "0003"]
    assert store.frame_texts("token") == ["t0", "t1", "t2", "t3"]
    assert store.frame_texts("weather") == list(TEXTS)
    for number, frame in enumerate(store):
        assert frame.attributes == {"token": f"t{number}", "weather": TEXTS[number]}
        assert frame.cameras["left"].id == f"left-{number}"
    assert store[0].cameras["right"].id == ""


def test_the_shutter_comes_back_as_it_was(store):
    for number, frame in enumerate(store):
        expected = Rig().read(FrameRef(id="", max_points=0, max_image_bytes=0, key=(number,)))
        for name, camera in frame.cameras.items():
            shutter = expected.cameras[name].shutter
            if shutter is None:
                assert camera.shutter is None
                continue
            assert camera.shutter.direction == "left_to_right"
            assert (camera.shutter.start_ns, camera.shutter.end_ns) == (
                1000 + number,
                2000 + number,
            )
            for key in ("linear_velocity_m_s", "angular_velocity_rad_s"):
                np.testing.assert_array_equal(getattr(camera.shutter, key), getattr(shutter, key))


def test_the_sources_own_policy_and_vehicle_are_kept_and_used(store):
    source = store.attributes["source"]
    assert source["policy"] == {"margin_px": [2, 0, 0, 0]}
    assert source["ego_box_m"] == list(Rig.info.ego_box_m)
    seen = 0
    for frame in store:
        ego_z = frame.points["z"] + 1.5
        in_box = (np.abs(frame.points["y"]) <= 1) & (frame.points["x"] <= 3) & (ego_z <= 1.4)
        for camera in frame.cameras.values():
            pairs = camera.correspondences
            assert not pairs.visible[in_box[pairs.row]].any()
            seen += in_box[pairs.row].sum()
    assert seen > 0


def test_extract_writes_them_all(store, tmp_path):
    extract(store[3], tmp_path)
    described = json.loads((tmp_path / "frame.json").read_text())
    assert described["attributes"] == {"token": "t3", "weather": "x"}
    assert described["cameras"]["left"]["id"] == "left-3"
    assert described["cameras"]["left"]["shutter"]["direction"] == "left_to_right"
    assert described["cameras"]["right"]["shutter"] is None


def test_two_workers_write_the_same_bytes(path, tmp_path):
    out = tmp_path / "rig.zarr"
    convert(Rig(), out, resources=Resources(workers=2), task_bytes=1)
    correspond_store(out, Policy.from_dict(Rig.info.policy), resources=ONE_WORKER)
    assert contents(out) == contents(path)


def test_a_store_of_format_1_0_still_opens(path, monkeypatch):
    original = commit.read_root

    def without_what_came_later(storage):
        root = original(storage)
        later = ("camera/id", "camera/shutter", "camera/linear", "camera/angular", "/attributes/")
        arrays = {p: a for p, a in root.arrays.items() if not any(part in p for part in later)}
        names = ("frame_attributes", "scene_attributes")
        attributes = {k: v for k, v in root.attributes.items() if k not in names}
        return commit.Root(attributes=attributes, arrays=arrays)

    monkeypatch.setattr("simipu.store.reader.read_root", without_what_came_later)
    store = simipu.open_store(path)
    assert "camera/id" not in store.layouts
    assert store[1].attributes == {}
    assert store.scenes[0].attributes == {}
    assert store[1].cameras["left"].id == ""
    assert store[1].cameras["left"].shutter is None
    assert len(store[1].cameras["left"].correspondences)
