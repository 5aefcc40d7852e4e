"""What is wrong with Waymo's files of version 1 is found, named, and never becomes data."""

import sys
import zlib

import numpy as np
import pytest
from waymo_open_dataset import dataset_pb2

from simipu.errors import EmptyFrameError, SourceError, UsageError
from simipu.pipelines.sources import waymo_messages, waymo_v1
from simipu.pipelines.sources.tfrecord import index_records
from simipu.pipelines.sources.waymo_frame import Assembly
from simipu.pipelines.synthetic.waymo_v1 import as_record
from synthetic_waymo import by_name, frames, matrix
from synthetic_world import generated

SMALL = {"image_scale": 0.02, "beams": 8, "columns": 64, "noise": False, "truth": False}
TOP, FRONT = 1, 2


@pytest.fixture(scope="module")
def v1(tmp_path_factory):
    root = tmp_path_factory.mktemp("v1")
    (path,) = generated(root, layout="waymo-v1", frames=1, **SMALL)[0].rglob("*.tfrecord")
    return path


@pytest.fixture
def message(v1):
    return frames(v1)[0]


@pytest.fixture
def read(tmp_path):
    """Reads a message, from a file of its own."""

    def read(message, **options):
        path = tmp_path / "segment.tfrecord"
        payload = message if isinstance(message, bytes) else message.SerializeToString()
        path.write_bytes(as_record(payload))
        (record,) = index_records(path)
        return Assembly(**options).frame(waymo_v1.read_frame(path, record)[0], "frame a", path)

    return read


def compressed(values, kind=dataset_pb2.MatrixFloat):
    message = kind()
    message.data.extend(values.ravel().tolist())
    message.shape.dims.extend(values.shape)
    return zlib.compress(message.SerializeToString())


def laser(message, number):
    return by_name(message.lasers)[number]


def spoil_range(change, number=TOP, which="ri_return1"):
    def spoil(message):
        found = getattr(laser(message, number), which)
        image = matrix(found.range_image_compressed)
        found.range_image_compressed = compressed(change(image))

    return spoil


def with_value(channel, value):
    def change(image):
        row, column = np.argwhere(image[..., 0] > 0)[0]
        image[row, column, channel] = value
        return image

    return change


def spoil_poses(change):
    def spoil(message):
        found = laser(message, TOP).ri_return1
        poses = change(matrix(found.range_image_pose_compressed))
        found.range_image_pose_compressed = compressed(poses)

    return spoil


def spoil_projections(change):
    def spoil(message):
        found = laser(message, TOP).ri_return1
        values = change(matrix(found.camera_projection_compressed, integers=True))
        found.camera_projection_compressed = compressed(values, dataset_pb2.MatrixInt32)

    return spoil


def first_calibration(message, number=TOP):
    return by_name(message.context.laser_calibrations)[number]


def set_range(message, value):
    laser(message, TOP).ri_return1.range_image_compressed = value


FAULTS = {
    "no beam inclinations and no range of them": (
        lambda m: first_calibration(m, FRONT).ClearField("beam_inclination_min")
    ),
    "beam inclinations that do not ascend": (
        lambda m: first_calibration(m).beam_inclinations.reverse()
    ),
    "has 8 rows, but the calibration has 7 beam inclinations": (
        lambda m: first_calibration(m).beam_inclinations.pop()
    ),
    r"laser TOP: the range image of return 1 has the shape \(8, 64, 3\)": (
        spoil_range(lambda image: image[..., :3])
    ),
    r"laser TOP: its pixel poses have the shape \(8, 63, 6\)": spoil_poses(lambda p: p[:, :63]),
    "laser TOP: there are no pixel poses": (
        lambda m: laser(m, TOP).ri_return1.ClearField("range_image_pose_compressed")
    ),
    "pixels with a range have poses that are not near the frame's pose": (
        spoil_poses(lambda poses: poses * 0)
    ),
    "pixels with a range have poses that are not near": (
        spoil_poses(lambda poses: np.full_like(poses, np.nan))
    ),
    "pixels with a range have poses": (
        spoil_poses(lambda p: np.where(np.arange(6) == 1, np.float32(np.nan), p))
    ),
    "the range image of return 1 has NaN ranges": spoil_range(with_value(0, np.nan)),
    "the range image of return 1 has values that are not finite": (
        spoil_range(with_value(0, np.inf))
    ),
    "laser FRONT: the range image of return 2 has NaN ranges": (
        spoil_range(lambda image: image * np.nan, FRONT, "ri_return2")
    ),
    "return 1 has values that are not finite": spoil_range(with_value(2, np.nan)),
    "the camera projections of return 1 are missing": (
        lambda m: laser(m, TOP).ri_return1.ClearField("camera_projection_compressed")
    ),
    r"the camera projections of return 1 have the shape \(4, 64, 6\)": (
        spoil_projections(lambda values: values[:4])
    ),
    "the camera projections of return 1 hold numbers that are no pixels": (
        spoil_projections(lambda values: values - 1)
    ),
    "hold numbers that are no pixels": spoil_projections(lambda values: values + 40_000),
    "hold numbers that are no cameras": spoil_projections(lambda values: values + 300),
    "range image 1 is damaged: it cannot be decompressed": lambda m: set_range(m, b"nonsense"),
    "range image 1 is damaged: it is not a matrix": (
        lambda m: set_range(m, zlib.compress(b"\x0a\x7fnonsense"))
    ),
    r"range image 1 is damaged: 2,048 values in the shape \(8, 64, 5\)": (
        lambda m: set_range(m, zlib.compress(_misshapen()))
    ),
    "lasers: TOP is there twice": lambda m: m.lasers.append(laser(m, TOP)),
    "images: FRONT is there twice": lambda m: m.images.append(m.images[0]),
    "laser TOP has no calibration": (
        lambda m: m.context.laser_calibrations.remove(first_calibration(m))
    ),
    "camera FRONT has no calibration": (
        lambda m: m.context.camera_calibrations.remove(m.context.camera_calibrations[0])
    ),
    "has 8 intrinsic values, not 9": lambda m: m.context.camera_calibrations[0].intrinsic.pop(),
    "has impossible intrinsics": (
        lambda m: m.context.camera_calibrations[0].intrinsic.__setitem__(0, -1.0)
    ),
    "the extrinsic of camera FRONT is not a rotation": (
        lambda m: m.context.camera_calibrations[0].extrinsic.transform.__setitem__(0, 1.2)
    ),
    "the extrinsic of laser TOP is not a rotation": (
        lambda m: first_calibration(m).extrinsic.transform.pop()
    ),
    "the frame's pose is not a rotation": lambda m: m.pose.transform.__setitem__(3, np.nan),
    "the pose of image FRONT is not a rotation": (
        lambda m: by_name(m.images)[1].pose.ClearField("transform")
    ),
    "image FRONT is 38 x 26 pixels, but its calibration says 38 x 27": (
        lambda m: setattr(m.context.camera_calibrations[0], "height", 27)
    ),
    "image FRONT has an impossible time or velocity": (
        lambda m: by_name(m.images)[1].ClearField("pose_timestamp")
    ),
    "has an impossible time or velocity": (
        lambda m: setattr(by_name(m.images)[1].velocity, "w_z", np.nan)
    ),
    "image FRONT is read out before it is triggered": (
        lambda m: setattr(by_name(m.images)[1], "camera_readout_done_time", 1.5e9)
    ),
    "image FRONT.*is no JPEG": lambda m: setattr(by_name(m.images)[1], "image", b"nonsense"),
    "of the first release": lambda m: (
        laser(m, TOP).ri_return1.range_image.data.append(1.0),
        set_range(m, b""),
    ),
}


def _misshapen():
    message = dataset_pb2.MatrixFloat()
    message.data.extend([1.0] * 2048)
    message.shape.dims.extend([8, 64, 5])
    return message.SerializeToString()


def test_a_sound_message_is_read(message, read):
    frame = read(message)
    assert len(frame.lidar) > 100
    assert len(frame.cameras) == 5


@pytest.mark.parametrize(("what", "spoil"), FAULTS.items())
def test_faults_of_a_message_are_named(message, read, what, spoil):
    spoil(message)
    with pytest.raises(SourceError, match=what) as caught:
        read(message)
    assert "segment.tfrecord" in caught.value.where
    assert caught.value.fix


@pytest.mark.parametrize(
    "payload",
    [
        b"not a message at all",
        b"",
        dataset_pb2.LaserCalibration(name=3).SerializeToString(),
        dataset_pb2.MatrixFloat(data=[1.0, 2.0]).SerializeToString(),
        dataset_pb2.Frame(timestamp_micros=5).SerializeToString(),
    ],
)
def test_other_messages_are_no_frames(read, payload):
    with pytest.raises(SourceError, match="record 0 at byte 0 is not a Frame"):
        read(payload)


def test_a_frame_without_returns_is_told_apart(message, read):
    for each in message.lasers:
        for which in ("ri_return1", "ri_return2"):
            image = matrix(getattr(each, which).range_image_compressed)
            getattr(each, which).range_image_compressed = compressed(image * 0 - 1)
    with pytest.raises(EmptyFrameError, match="frame a: the frame has no LiDAR returns of TOP, "):
        read(message)
    message.ClearField("lasers")
    with pytest.raises(EmptyFrameError, match="no LiDAR returns"):
        read(message)


def test_a_laser_without_images_has_no_points(message, read):
    whole = read(message).lidar.columns
    laser(message, TOP).ClearField("ri_return1")
    laser(message, TOP).ClearField("ri_return2")
    message.lasers.remove(laser(message, FRONT))
    columns = read(message).lidar.columns
    np.testing.assert_array_equal(columns["x"], whole["x"][whole["laser"] > 2])


def test_a_missing_camera_is_left_out(message, read):
    message.images.remove(by_name(message.images)[4])
    assert list(read(message).cameras) == ["FRONT", "FRONT_LEFT", "FRONT_RIGHT", "SIDE_RIGHT"]


@pytest.mark.parametrize("direction", [0, 5])
def test_a_global_or_unknown_shutter_is_none(message, read, direction):
    message.context.camera_calibrations[0].rolling_shutter_direction = direction
    frame = read(message)
    assert frame.cameras["FRONT"].shutter is None
    assert frame.cameras["SIDE_LEFT"].shutter.direction == "left_to_right"


def test_empty_pixels_do_not_need_poses(message, read):
    found = laser(message, TOP).ri_return1
    empty = matrix(found.range_image_compressed)[..., 0] <= 0
    second = matrix(laser(message, TOP).ri_return2.range_image_compressed)[..., 0] <= 0
    expected = read(message)
    spoil_poses(lambda poses: np.where((empty & second)[..., None], np.nan, poses))(message)
    np.testing.assert_array_equal(read(message).lidar.columns["x"], expected.lidar.columns["x"])


@pytest.mark.parametrize("error", [ImportError, TypeError])
def test_a_missing_wheel_is_named_with_the_command(monkeypatch, v1, error):
    if error is ImportError:
        monkeypatch.setitem(sys.modules, "waymo_open_dataset", None)
    else:

        class Broken:
            @property
            def dataset_pb2(self):
                raise TypeError("Descriptors cannot be created directly")

        monkeypatch.setitem(sys.modules, "waymo_open_dataset", Broken())
    with pytest.raises(UsageError) as caught:
        waymo_v1.read_frame(v1, index_records(v1)[0])
    assert "pip install --no-deps waymo-open-dataset-tf-2-12-0==1.6.7" in caught.value.fix


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((3, 5, 6), dtype=np.int32),
        np.arange(16_383, dtype=np.int32).reshape(1, -1),
        np.array([[127, 128, 16_383, 16_384, 0, 2**31 - 1]], dtype=np.int32),
        np.array([[-1, 300, -(2**31), 5]], dtype=np.int32),
        np.random.default_rng(1).integers(0, 1920, (7, 11, 6), dtype=np.int32),
        np.zeros((0, 4), dtype=np.int32),
        np.random.default_rng(2).standard_normal((4, 9, 4)).astype(np.float32),
        np.full((2, 2), np.nan, dtype=np.float32),
    ],
)
@pytest.mark.parametrize("order", ["numbers first", "shape first"])
def test_matrices_are_read_as_by_the_official_class(tmp_path, values, order):
    is_float = values.dtype == np.float32
    kind = dataset_pb2.MatrixFloat if is_float else dataset_pb2.MatrixInt32
    data = zlib.decompress(compressed(values, kind))
    if order == "shape first":
        shape = kind()
        shape.shape.dims.extend(values.shape)
        numbers = kind()
        numbers.data.extend(values.ravel().tolist())
        data = shape.SerializeToString() + numbers.SerializeToString()
    found = waymo_messages.read_matrix(zlib.compress(data), values.dtype, tmp_path, "m")
    assert (found.dtype, found.shape) == (values.dtype, values.shape)
    assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize("cut", [1, 3, 40])
def test_a_cut_matrix_is_damaged(tmp_path, cut):
    data = zlib.decompress(compressed(np.ones((4, 4), dtype=np.float32)))[:-cut]
    with pytest.raises(SourceError, match="m is damaged"):
        waymo_messages.read_matrix(zlib.compress(data), np.float32, tmp_path, "m")


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (zlib.compress(bytes(65 << 20)), r"m is damaged: .* more than 67,108,864 bytes"),
        (zlib.compress(bytes(1000))[:-3], "m is damaged: .* cut short"),
        (b"nothing of the kind", "m is damaged: it cannot be decompressed"),
    ],
)
def test_a_stream_of_any_other_length_is_damaged(tmp_path, stream, message):
    with pytest.raises(SourceError, match=message):
        waymo_messages.read_matrix(stream, np.float32, tmp_path, "m")
