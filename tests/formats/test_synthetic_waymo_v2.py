"""Version 2 of the Waymo layout: the official schema, and the same content as version 1."""

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from folders import contents
from simipu.errors import UsageError
from simipu.pipelines.synthetic.layouts import make_writer
from simipu.pipelines.synthetic.options import Options
from synthetic_waymo import STAGE, TOP, by_name, frames, matrix, transform
from synthetic_world import generated

SMALL = {"image_scale": 0.1, "beams": 8, "columns": 200, "scenes": 2, "frames": 2}

SEGMENT = ["key.segment_context_name string"]
FRAME = [*SEGMENT, "key.frame_timestamp_micros int64"]
RETURN = [
    "{}.range_image_return{}.values list<element: float>",
    "{}.range_image_return{}.shape fixed_size_list<element: int32>[3]",
]
TRANSFORM = "transform fixed_size_list<element: double>[16]"
# As pyarrow prints the schemas of the official components.
SCHEMAS = {
    "camera_image": [
        *FRAME,
        "key.camera_name int8",
        "[CameraImageComponent].image binary",
        f"[CameraImageComponent].pose.{TRANSFORM}",
        *(f"[CameraImageComponent].velocity.linear_velocity.{a} float" for a in "xyz"),
        *(f"[CameraImageComponent].velocity.angular_velocity.{a} double" for a in "xyz"),
        "[CameraImageComponent].pose_timestamp double",
        "[CameraImageComponent].rolling_shutter_params.shutter double",
        "[CameraImageComponent].rolling_shutter_params.camera_trigger_time double",
        "[CameraImageComponent].rolling_shutter_params.camera_readout_done_time double",
    ],
    "camera_calibration": [
        *SEGMENT,
        "key.camera_name int8",
        *(
            f"[CameraCalibrationComponent].intrinsic.{name} double"
            for name in ["f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3"]
        ),
        f"[CameraCalibrationComponent].extrinsic.{TRANSFORM}",
        "[CameraCalibrationComponent].width int32",
        "[CameraCalibrationComponent].height int32",
        "[CameraCalibrationComponent].rolling_shutter_direction int8",
    ],
    "lidar": [
        *FRAME,
        "key.laser_name int8",
        *(text.format("[LiDARComponent]", k) for k in (1, 2) for text in RETURN),
    ],
    "lidar_calibration": [
        *SEGMENT,
        "key.laser_name int8",
        f"[LiDARCalibrationComponent].extrinsic.{TRANSFORM}",
        "[LiDARCalibrationComponent].beam_inclination.min double",
        "[LiDARCalibrationComponent].beam_inclination.max double",
        "[LiDARCalibrationComponent].beam_inclination.values list<element: double>",
    ],
    "lidar_pose": [
        *FRAME,
        "key.laser_name int8",
        *(text.format("[LiDARPoseComponent]", 1) for text in RETURN),
    ],
    "lidar_camera_projection": [
        *FRAME,
        "key.laser_name int8",
        *(text.format("[LiDARCameraProjectionComponent]", k) for k in (1, 2) for text in RETURN),
    ],
    "vehicle_pose": [*FRAME, f"[VehiclePoseComponent].world_from_vehicle.{TRANSFORM}"],
    "lidar_box": [
        *FRAME,
        "key.laser_object_id string",
        *(f"[LiDARBoxComponent].box.center.{a} double" for a in "xyz"),
        *(f"[LiDARBoxComponent].box.size.{a} double" for a in "xyz"),
        "[LiDARBoxComponent].box.heading double",
        "[LiDARBoxComponent].type int8",
        "[LiDARBoxComponent].num_lidar_points_in_box int64",
        "[LiDARBoxComponent].num_top_lidar_points_in_box int64",
        *(f"[LiDARBoxComponent].speed.{a} double" for a in "xyz"),
        *(f"[LiDARBoxComponent].acceleration.{a} double" for a in "xyz"),
        "[LiDARBoxComponent].difficulty_level.detection int8",
        "[LiDARBoxComponent].difficulty_level.tracking int8",
    ],
    "stats": [
        *FRAME,
        *(f"[StatsComponent].{name} string" for name in ("time_of_day", "location", "weather")),
        *(
            f"[StatsComponent].{sensor}_object_counts.{name} list<element: {kind}>"
            for sensor in ("lidar", "camera")
            for name, kind in (("types", "int8"), ("counts", "int32"))
        ),
    ],
}


def described(schema) -> list[str]:
    return [f"{field.name} {field.type}" for field in schema]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return generated(tmp_path_factory.mktemp("v2"), layout="waymo-v2", **SMALL)[0]


@pytest.fixture(scope="module")
def segments(root) -> list[dict[str, list[dict]]]:
    """The rows of every table, of both segments."""
    return [
        {folder.name: pq.read_table(*folder.iterdir()).to_pylist() for folder in split.iterdir()}
        for split in (root / "training", root / "validation")
    ]


@pytest.fixture(scope="module")
def v1(tmp_path_factory) -> tuple[Path, list]:
    root, _ = generated(tmp_path_factory.mktemp("v1"), layout="waymo-v1", **SMALL)
    splits = (root / "training", root / "validation")
    return root, [frames(*split.iterdir()) for split in splits]


def test_schemas_are_the_official_ones_after_a_column_index(root):
    for split in ("training", "validation"):
        assert sorted(path.name for path in (root / split).iterdir()) == sorted(SCHEMAS)
        for name, expected in SCHEMAS.items():
            (path,) = (root / split / name).iterdir()
            assert described(pq.read_schema(path)) == ["index string", *expected]


def test_the_expected_schemas_are_those_of_the_sample(sample_data):
    folder = sample_data / "waymo" / "v2"
    assert sorted(path.name for path in folder.iterdir()) == sorted(SCHEMAS)
    for name, expected in SCHEMAS.items():
        (path,) = (folder / name).iterdir()
        assert described(pq.read_schema(path)) == expected


def test_files_are_brotli_in_row_groups_of_whole_frames(root, segments):
    rows = {"camera_image": 5, "lidar": 5, "lidar_camera_projection": 5, "lidar_pose": 1}
    for split, tables in zip(("training", "validation"), segments, strict=True):
        for name in SCHEMAS:
            (path,) = (root / split / name).iterdir()
            assert path.stem == tables["stats"][0]["key.segment_context_name"]
            metadata = pq.ParquetFile(path).metadata
            groups = [metadata.row_group(k) for k in range(metadata.num_row_groups)]
            columns = [g.column(k) for g in groups for k in range(metadata.num_columns)]
            assert {column.compression for column in columns} == {"BROTLI"}
            if name in rows:
                assert [group.num_rows for group in groups] == [rows[name]] * 2
    assert not (root / ".work").exists()


def test_rows_are_named_by_their_keys(segments):
    for tables in segments:
        for rows in tables.values():
            keys = [[v for name, v in row.items() if name.startswith("key.")] for row in rows]
            assert [row["index"] for row in rows] == [";".join(map(str, key)) for key in keys]
            assert len({row["index"] for row in rows}) == len(rows)


def test_calibrations_poses_and_images_are_those_of_version_1(segments, v1):
    for tables, found in zip(segments, v1[1], strict=True):
        context = found[0].context
        assert len(tables["camera_calibration"]) == len(tables["lidar_calibration"]) == 5
        for row in tables["camera_calibration"]:
            one = by_name(context.camera_calibrations)[row["key.camera_name"]]
            values = [*row.values()][3:]
            assert values[:9] == [*one.intrinsic]
            assert values[9] == [*one.extrinsic.transform]
            assert values[10:] == [one.width, one.height, one.rolling_shutter_direction]
        for row in tables["lidar_calibration"]:
            one = by_name(context.laser_calibrations)[row["key.laser_name"]]
            expected = [*one.beam_inclinations] or None
            assert (expected is None) == (one.name != TOP)
            assert [*row.values()][3:] == [
                [*one.extrinsic.transform],
                one.beam_inclination_min,
                one.beam_inclination_max,
                expected,
            ]
        for row, frame in zip(tables["vehicle_pose"], found, strict=True):
            assert row["key.segment_context_name"] == frame.context.name
            assert row["key.frame_timestamp_micros"] == frame.timestamp_micros
            assert [*row.values()][3] == transform(frame.pose).ravel().tolist()
        images = [(frame, image) for frame in found for image in frame.images]
        for row, (frame, image) in zip(tables["camera_image"], images, strict=True):
            v = image.velocity
            assert [*row.values()][1:] == [
                frame.context.name,
                frame.timestamp_micros,
                image.name,
                image.image,
                [*image.pose.transform],
                *(v.v_x, v.v_y, v.v_z, v.w_x, v.w_y, v.w_z),
                image.pose_timestamp,
                image.shutter,
                image.camera_trigger_time,
                image.camera_readout_done_time,
            ]


def test_range_images_are_those_of_version_1(segments, v1):
    for tables, found in zip(segments, v1[1], strict=True):
        by_key = {
            name: {(r["key.frame_timestamp_micros"], r["key.laser_name"]): r for r in tables[name]}
            for name in ("lidar", "lidar_pose", "lidar_camera_projection")
        }
        for frame in found:
            for laser in frame.lasers:
                key = (frame.timestamp_micros, laser.name)
                for k, one in ((1, laser.ri_return1), (2, laser.ri_return2)):
                    same("LiDAR", by_key["lidar"][key], k, one.range_image_compressed)
                    row = by_key["lidar_camera_projection"][key]
                    compressed = one.camera_projection_compressed
                    same("LiDARCameraProjection", row, k, compressed, integers=True)
                assert (key in by_key["lidar_pose"]) == (laser.name == TOP)
                if laser.name == TOP:
                    row = by_key["lidar_pose"][key]
                    same("LiDARPose", row, 1, laser.ri_return1.range_image_pose_compressed)


def same(component: str, row: dict, which: int, compressed: bytes, **kind: bool) -> None:
    prefix = f"[{component}Component].range_image_return{which}"
    expected = matrix(compressed, **kind)
    assert row[f"{prefix}.shape"] == list(expected.shape)
    assert np.array_equal(row[f"{prefix}.values"], expected.ravel())


def test_labels_and_stats_are_those_of_version_1(segments, v1):
    for tables, found in zip(segments, v1[1], strict=True):
        labels = [(frame, label) for frame in found for label in frame.laser_labels]
        for row, (frame, label) in zip(tables["lidar_box"], labels, strict=True):
            b, m = label.box, label.metadata
            assert [*row.values()][2:] == [
                frame.timestamp_micros,
                label.id,
                *(b.center_x, b.center_y, b.center_z, b.length, b.width, b.height, b.heading),
                label.type,
                label.num_lidar_points_in_box,
                label.num_top_lidar_points_in_box,
                *(m.speed_x, m.speed_y, m.speed_z, m.accel_x, m.accel_y, m.accel_z),
                None,
                None,
            ]
        for row, frame in zip(tables["stats"], found, strict=True):
            stats = frame.context.stats
            counts = stats.laser_object_counts
            assert [*row.values()][2:] == [
                frame.timestamp_micros,
                *(stats.time_of_day, stats.location, stats.weather),
                [count.type for count in counts],
                [count.count for count in counts],
                [],
                [],
            ]


def test_the_truth_is_that_of_version_1(root, v1):
    truths = [contents(folder / "truth") for folder in (root, v1[0])]
    for truth in truths:
        del truth["world.json"]
    assert truths[0] == truths[1]


def test_the_bytes_do_not_depend_on_the_order_of_the_work(root, tmp_path):
    small = {**SMALL, "scenes": 1}
    writer = make_writer(tmp_path, Options(layout="waymo-v2", seed=5, truth=False, **small))
    for unit in reversed(writer.units):
        writer.write(unit, STAGE)
    writer.finish()
    writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["training"]
    assert contents(tmp_path / "training") == contents(root / "training")


def test_a_missing_package_is_named_before_the_work_begins(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="simipu\\[waymo\\]"):
        make_writer(tmp_path, Options(layout="waymo-v2", scenes=1, frames=1, seed=1))
