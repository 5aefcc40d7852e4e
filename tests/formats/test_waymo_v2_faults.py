"""What is wrong with Waymo's files of version 2 is found, named, and never becomes data."""

import shutil
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from waymo_open_dataset import dataset_pb2

from simipu.errors import EmptyFrameError, SourceError, UsageError
from simipu.pipelines.sources import waymo_v2
from simipu.pipelines.sources.waymo_frame import Assembly
from simipu.pipelines.sources.waymo_tables import COMPONENTS, WITHOUT
from synthetic_world import generated

SMALL = {"image_scale": 0.02, "beams": 8, "columns": 64, "noise": False, "truth": False}


@pytest.fixture(scope="module")
def v2(tmp_path_factory):
    root = tmp_path_factory.mktemp("v2")
    return generated(root, layout="waymo-v2", frames=2, **SMALL)[0] / "training"


@pytest.fixture
def folder(v2, tmp_path):
    """A copy of version 2 to spoil, and the name of its segment."""
    shutil.copytree(v2, tmp_path / "training")
    (lidar,) = (v2 / "lidar").iterdir()
    return tmp_path / "training", lidar.stem


def read_v2(folder, context, **options):
    segment = waymo_v2.Segment(folder, context)
    return [
        Assembly(**options).frame(segment.read_frame(t), f"frame {t}", segment.path)
        for t in segment.timestamps
    ]


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_missing_component_is_named_with_what_still_works(folder, component):
    root, context = folder
    shutil.rmtree(root / component)
    with pytest.raises(SourceError, match="the component's folder is missing") as caught:
        read_v2(root, context)
    assert caught.value.where == str(root / component / f"{context}.parquet")
    assert f"Download the component {component}" in caught.value.fix
    assert ("Without the whole folder" in caught.value.fix) == (component in WITHOUT)


def test_a_missing_file_is_named(folder):
    root, context = folder
    (root / "stats" / f"{context}.parquet").unlink()
    with pytest.raises(SourceError, match="the file is missing"):
        read_v2(root, context)


@pytest.mark.parametrize("without", WITHOUT)
def test_some_components_can_be_done_without(folder, without):
    root, context = folder
    whole = read_v2(root, context)[0]
    shutil.rmtree(root / without)
    components = [name for name in COMPONENTS if name != without]
    segment = waymo_v2.Segment(root, context, components)
    parts = segment.read_frame(segment.timestamps[0])
    if without == "stats":
        assert segment.stats == (context, "", "", "")
    if without == "lidar_pose":
        with pytest.raises(SourceError, match="laser TOP: there are no pixel poses"):
            Assembly().frame(parts, "a", root)
    options = {
        "stats": {},
        "lidar_pose": {"lasers": ("FRONT", "SIDE_LEFT", "SIDE_RIGHT", "REAR")},
        "lidar_camera_projection": {"projections": False},
    }[without]
    columns = Assembly(**options).frame(parts, "a", root).lidar.columns
    expected = whole.lidar.columns
    own = expected["laser"] > 1 if without == "lidar_pose" else slice(None)
    for name, column in columns.items():
        np.testing.assert_array_equal(column, expected[name][own])


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("kept", [0, 3, 0.5, -9])
def test_a_truncated_parquet_is_found(folder, component, kept):
    root, context = folder
    path = root / component / f"{context}.parquet"
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(SourceError, match=r"the file is empty|damaged or truncated") as caught:
        read_v2(root, context)
    assert caught.value.where == str(path)


def test_damaged_pages_are_found(folder):
    root, context = folder
    path = root / "lidar" / f"{context}.parquet"
    data = bytearray(path.read_bytes())
    data[100:4000] = bytes(3900)
    path.write_bytes(data)
    with pytest.raises(SourceError, match="damaged or truncated") as caught:
        read_v2(root, context)
    assert caught.value.where == str(path)


def rewrite(path, change, **options):
    pq.write_table(change(pq.read_table(path)), path, **options)


def test_a_git_lfs_pointer_is_named(folder):
    root, context = folder
    path = root / "lidar" / f"{context}.parquet"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(SourceError, match="is a Git LFS pointer"):
        read_v2(root, context)


def test_a_missing_column_is_named(folder):
    root, context = folder
    name = "[LiDARComponent].range_image_return2.values"
    rewrite(root / "lidar" / f"{context}.parquet", lambda table: table.drop_columns([name]))
    with pytest.raises(SourceError, match=r"has no column \[LiDARComponent\].range_image_return2"):
        read_v2(root, context)


def test_a_row_that_is_there_twice_is_named(folder):
    root, context = folder
    path = root / "camera_image" / f"{context}.parquet"
    rewrite(path, lambda table: pa.concat_tables([table, table.slice(0, 1)]))
    with pytest.raises(SourceError, match=r"has two rows for \d+ FRONT"):
        read_v2(root, context)


def test_a_frame_without_lasers_is_told_apart(folder):
    root, context = folder
    first = waymo_v2.Segment(root, context).timestamps[0]

    def without_first(table):
        times = table.column("key.frame_timestamp_micros").to_numpy()
        return table.filter(pa.array(times != first))

    rewrite(root / "lidar" / f"{context}.parquet", without_first)
    segment = waymo_v2.Segment(root, context)
    with pytest.raises(EmptyFrameError):
        Assembly().frame(segment.read_frame(first), "a", root)
    rest = segment.read_frame(segment.timestamps[1])
    assert len(Assembly().frame(rest, "b", root).lidar) > 100
    with pytest.raises(SourceError, match="there is no frame 7 any more"):
        segment.read_frame(7)


@pytest.mark.parametrize("rows_per_group", [1, 3, 7, 100])
def test_order_groups_and_types_of_a_release_do_not_matter(folder, rows_per_group):
    root, context = folder
    expected = read_v2(root, context)
    rng = np.random.default_rng(rows_per_group)
    for component in COMPONENTS:

        def changed(table):
            table = table.take(rng.permutation(len(table)))
            table = table.select(rng.permutation(table.column_names).tolist())
            for key, names in (("camera", NAMES_OF_CAMERAS), ("laser", NAMES_OF_LASERS)):
                name = f"key.{key}_name"
                if name in table.column_names and rows_per_group == 7:
                    texts = pa.array([names[v] for v in table.column(name).to_pylist()])
                    table = table.drop_columns([name]).append_column(name, texts)
            return table.append_column("another", pa.array(range(len(table))))

        path = root / component / f"{context}.parquet"
        rewrite(path, changed, row_group_size=rows_per_group, compression="snappy")
    for frame, its in zip(read_v2(root, context), expected, strict=True):
        assert list(frame.cameras) == list(its.cameras)
        for name, column in frame.lidar.columns.items():
            assert column.tobytes() == its.lidar.columns[name].tobytes()
        for name, image in frame.cameras.items():
            assert image.data == its.cameras[name].data


@pytest.mark.parametrize("rows_per_group", [1, 2, 3, 100])
def test_the_bound_of_a_frames_images_holds_however_they_are_grouped(folder, rows_per_group):
    root, context = folder
    path = root / "camera_image" / f"{context}.parquet"
    # Else the smallest and largest image of a group are in its column's size once more.
    plain = {"write_statistics": False, "use_dictionary": False}
    rewrite(path, lambda table: table, row_group_size=rows_per_group, **plain)
    segment = waymo_v2.Segment(root, context)
    for timestamp in segment.timestamps:
        images = segment.read_frame(timestamp).images.values()
        assert len(images) == 5
        assert segment.image_bytes >= sum(len(image.jpeg) for image in images)


NAMES_OF_CAMERAS = {n: dataset_pb2.CameraName.Name.Name(n) for n in range(1, 6)}
NAMES_OF_LASERS = {n: dataset_pb2.LaserName.Name.Name(n) for n in range(1, 6)}


def test_projections_that_are_no_whole_numbers_are_refused(folder):
    root, context = folder
    name = "[LiDARCameraProjectionComponent].range_image_return1.values"

    def halved(table):
        values = [[v / 2 for v in row] for row in table.column(name).to_pylist()]
        column = pa.array(values, pa.list_(pa.float32()))
        return table.set_column(table.column_names.index(name), name, column)

    rewrite(root / "lidar_camera_projection" / f"{context}.parquet", halved)
    with pytest.raises(SourceError, match="not whole numbers"):
        read_v2(root, context)


def test_a_missing_pyarrow_is_named(monkeypatch, folder):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="pyarrow cannot be imported") as caught:
        read_v2(*folder)
    assert "pip install 'simipu[waymo]'" in caught.value.fix


def test_reading_backwards_gives_the_same(v2):
    (lidar,) = (v2 / "lidar").iterdir()
    forwards = read_v2(v2, lidar.stem)
    segment = waymo_v2.Segment(v2, lidar.stem)
    for t, expected in zip(reversed(segment.timestamps), reversed(forwards), strict=True):
        frame = Assembly().frame(segment.read_frame(t), "a", segment.path)
        assert frame.lidar.columns["x"].tobytes() == expected.lidar.columns["x"].tobytes()
