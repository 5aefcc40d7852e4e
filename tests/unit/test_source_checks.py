"""Records of third parties: what passes the checks fits into a store, what does not is told."""

import copyreg
import pickle
from dataclasses import replace

import numpy as np
import pytest

import rig_source
from rig_source import SIZE, T_CAMERA_FROM_LIDAR, Rig, with_camera, with_lidar
from simipu.errors import SimipuError, SourceError
from simipu.pipelines.sources.checked import Checked, ForeignError, ForeignSourceError
from simipu.pipelines.sources.validate import check_info, check_scan
from simipu.pipelines.sources.validate_frame import check_frame
from simipu.records import FrameRef, Scan, Scene, Shutter, Skipped


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    return Rig(rig_source.write_rig(tmp_path_factory.mktemp("rig") / "data", frames=1))


@pytest.fixture(scope="module")
def ref(rig):
    return rig.scan().scenes[0].frames[0]


@pytest.fixture(scope="module")
def frame(rig, ref):
    return rig.read(ref)


def shutter(**changes):
    values = {"direction": "top_to_bottom", "start_ns": 1, "end_ns": 2}
    values |= {"linear_velocity_m_s": np.zeros(3), "angular_velocity_rad_s": np.zeros(3)}
    return Shutter(**{**values, **changes})


def pose(**entries):
    T = T_CAMERA_FROM_LIDAR.copy()
    for place, value in entries.items():
        T[int(place[1]), int(place[2])] = value
    return T


def columns(frame, **changes):
    return with_lidar(frame, columns={**frame.lidar.columns, **changes})


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame,
        lambda frame: replace(frame, cameras={}),
        lambda frame: with_camera(frame, shutter=shutter(), id="0815", timestamp_ns=np.int64(5)),
        lambda frame: columns(frame, z=np.full(len(frame.lidar), np.nan, "<f4")),
        lambda frame: with_lidar(frame, columns={name: np.empty(0, "<f4") for name in "xyz"}),
        lambda frame: with_camera(frame, T_camera_from_lidar=pose(_02=4e-4)),
        lambda frame: replace(frame, T_world_from_ego=None, timestamp_ns=None),
    ],
)
def test_good_frames_pass(rig, ref, frame, change):
    check_frame(change(frame), ref, rig.info)


K = np.array([[40.0, 0, 31.5], [0, 40, 23.5], [0, 0, 1]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: {"id": f.id}, "the frame is a dict, not a Frame"),
        (lambda f: replace(f, id="else"), "id is 'else', not 'one/0'"),
        (lambda f: replace(f, attributes={}), r"attributes has \[\], not \['weather'\]"),
        (lambda f: replace(f, attributes={"weather": 1}), r"attributes\['weather'\] is a int"),
        (lambda f: replace(f, attributes={"weather": "\0"}), r"\['weather'\] is no plain text"),
        (lambda f: replace(f, attributes={"weather": "\ud800"}), r"is no plain text"),
        (lambda f: replace(f, lidar=None), "lidar is a NoneType, not a LidarSweep"),
        (lambda f: with_lidar(f, columns=[]), "lidar.columns is a list, not a Mapping"),
        (lambda f: columns(f, ring=f.lidar.columns["x"]), "columns are x, y, z, ring, not x, y, z"),
        (lambda f: columns(f, x=f.lidar.columns["x"].astype("f8")), r"\['x'\] is <f8 \(120,\)"),
        (lambda f: columns(f, x=f.lidar.columns["x"].astype(">f4")), r"\['x'\] is >f4"),
        (lambda f: columns(f, y=f.lidar.columns["y"][1:]), r"\['y'\] is <f4 \(119,\)"),
        (lambda f: columns(f, x=f.lidar.columns["x"][:, None]), r"\['x'\] is <f4 \(120, 1\)"),
        (lambda f: columns(f, x=[1.0] * 120), r"\['x'\] is a list, not a ndarray"),
        (
            lambda f: with_lidar(f, columns={n: np.zeros(121, "<f4") for n in "xyz"}),
            "121 points, more than ref.max_points, 120",
        ),
        (lambda f: replace(f, cameras=[]), "cameras is a list, not a Mapping"),
        (lambda f: replace(f, cameras={"rear": f.cameras["front"]}), "has 'rear', which info"),
        (lambda f: replace(f, cameras={"front": None}), r"cameras\['front'\] is a NoneType"),
        (lambda f: with_camera(f, data="x.png"), r"\['front'\].data is a str, not a bytes"),
        (lambda f: with_camera(f, data=b"GIF89a"), r"data is neither a PNG nor a JPEG"),
        (
            lambda f: with_camera(f, data=f.cameras["front"].data[:-9]),
            "data is a damaged PNG: it is truncated",
        ),
        (
            lambda f: with_camera(
                f, data=f.cameras["front"].data[:-12] + bytes(9) + f.cameras["front"].data[-12:]
            ),
            "bytes, more than ref.max_image_bytes",
        ),
        (lambda f: with_camera(f, width=63), "63 x 48, but data is an image of 64 x 48"),
        (lambda f: with_camera(f, width=SIZE[1], height=SIZE[0]), "48 x 64, but data"),
        (lambda f: with_camera(f, K=K.tolist()), r"K is a list, not a ndarray"),
        (lambda f: with_camera(f, K=K.astype("f4")), r"K is float32 \(3, 3\), not float64"),
        (lambda f: with_camera(f, K=np.hstack([K, K])[:, :4]), r"K is float64 \(3, 4\)"),
        (lambda f: with_camera(f, K=K.T), r"K is \[\[40.0"),
        (lambda f: with_camera(f, K=K * 2), r"K is \[\[80.0"),
        (lambda f: with_camera(f, K=K * [[1], [-1], [1]]), "positive fx and fy"),
        (lambda f: with_camera(f, K=np.where(K == 31.5, np.nan, K)), r"K is \[\[40.0, 0.0, nan"),
        (lambda f: with_camera(f, distortion=np.zeros(4)), r"distortion is float64 \(4,\)"),
        (lambda f: with_camera(f, distortion=np.full(5, np.inf)), r"distortion is \[inf"),
        (lambda f: with_camera(f, id=None), r"\['front'\].id is a NoneType"),
        (lambda f: with_camera(f, T_camera_from_lidar=None), "T_camera_from_lidar is a NoneType"),
        (lambda f: with_camera(f, T_camera_from_lidar=pose(_03=np.nan)), "lidar has NaN"),
        (lambda f: with_camera(f, T_camera_from_lidar=pose().T), "ends in the row"),
        (lambda f: with_camera(f, T_camera_from_lidar=pose(_01=1.0)), "lidar mirrors"),
        (lambda f: with_camera(f, T_camera_from_lidar=pose(_00=0.01)), "differs from .* by 1.0e-0"),
        (lambda f: with_camera(f, T_ego_from_camera=pose()[:3]), r"is float64 \(3, 4\)"),
        (lambda f: with_camera(f, T_world_from_ego=2 * np.eye(4)), r"T_world_from_ego ends in"),
        (lambda f: with_lidar(f, T_ego_from_lidar=np.diag([2, 2, 2, 1.0])), "lidar is not rigid"),
        (lambda f: replace(f, T_world_from_ego=np.eye(4, dtype="i8")), "is int64"),
        (lambda f: replace(f, timestamp_ns=1.7e18), r"timestamp_ns is 1.7e\+18"),
        (lambda f: replace(f, timestamp_ns=True), "timestamp_ns is True"),
        (lambda f: with_lidar(f, timestamp_ns=2**63), "lidar.timestamp_ns is 9223372036854775808"),
        (lambda f: with_lidar(f, timestamp_end_ns=-(2**63)), "timestamp_end_ns is -9223"),
        (lambda f: with_camera(f, timestamp_ns="now"), r"\['front'\].timestamp_ns is 'now'"),
        (lambda f: with_camera(f, shutter=3), "shutter is a int"),
        (lambda f: with_camera(f, shutter=shutter(direction="down")), "direction is 'down'"),
        (lambda f: with_camera(f, shutter=shutter(start_ns=None)), "start_ns is None"),
        (lambda f: with_camera(f, shutter=shutter(start_ns=3)), "ends before it starts"),
        (lambda f: with_camera(f, shutter=shutter(), timestamp_ns=None), "needs the image's time"),
        (lambda f: with_camera(f, shutter=shutter(), T_ego_from_camera=None), "needs the image's"),
        (
            lambda f: with_camera(f, shutter=shutter(linear_velocity_m_s=np.zeros(4))),
            r"linear_velocity_m_s is float64 \(4,\)",
        ),
        (
            lambda f: with_camera(f, shutter=shutter(angular_velocity_rad_s=np.full(3, np.nan))),
            "angular_velocity_rad_s has NaN",
        ),
    ],
)
def test_faulty_frames_are_told(rig, ref, frame, change, message):
    with pytest.raises(SourceError, match=message) as told:
        check_frame(change(frame), ref, rig.info)
    assert told.value.fix


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "info.name is empty"),
        ({"licence": None}, "info.licence is a NoneType"),
        ({"cameras": ["front"]}, "info.cameras is a list, not a tuple"),
        ({"cameras": ("a", "a")}, "info.cameras must be unique, but 2 are 'a'"),
        ({"cameras": ("../a",)}, "has the name '../a', which cannot be a file's"),
        ({"frame_attributes": ("__a",)}, "has the name '__a'"),
        ({"frame_attributes": ("a\n",)}, "which cannot be a file's"),
        ({"point_columns": {"x": "<f4", "y": "<f4"}}, "must have x, y and z of dtype '<f4'"),
        ({"point_columns": dict.fromkeys("xyz", "<f8")}, "must have x, y and z of dtype '<f4'"),
        ({"point_columns": {**dict.fromkeys("xyz", "<f4"), "a": ">f4"}}, "cannot be stored"),
        ({"point_columns": {**dict.fromkeys("xyz", "<f4"), "a/b": "<f4"}}, "has the name 'a/b'"),
        ({"point_suffix": "bin"}, "info.point_suffix is 'bin'"),
        ({"point_suffix": "./../x"}, "info.point_suffix is"),
        ({"notes": "a note"}, "info.notes is a str, not a tuple"),
        ({"options": {"root": rig_source.Path("/")}}, "info.options is not made of JSON values"),
        ({"options": {"a": float("nan")}}, "info.options is not made of JSON values"),
        ({"policy": {"margin": 1}}, "info.policy is refused: .* has no field margin"),
        ({"policy": {"min_depth_m": -1}}, "info.policy is refused"),
        ({"ego_box_m": (0, 0, 0, 1, 1)}, r"info.ego_box_m is \(0, 0, 0, 1, 1\)"),
        ({"ego_box_m": (0, 0, 2, 1, 1, 1)}, "info.ego_box_m is"),
        ({"ego_box_m": 3}, "info.ego_box_m is 3"),
        ({"lidar_origins_m": {"1": (0, 0, 0)}}, r"says \(0, 0, 0\) of laser '1'"),
        ({"lidar_origins_m": {1: (0, 0)}}, r"info.lidar_origins_m says \(0, 0\) of laser 1"),
        ({"lidar_origins_m": {1: (0, 0, float("inf"))}}, "says .* of laser 1"),
        ({"lidar_origins_m": {1: (0, 0, 0)}}, "needs the point column 'laser'"),
        ({"projection_cameras": {"rear": 1}}, "info.projection_cameras says 1 of 'rear'"),
        ({"projection_cameras": {"front": "1"}}, "info.projection_cameras says '1' of 'front'"),
    ],
)
def test_a_faulty_description_is_told(rig, changes, message):
    check_info(rig.info)
    with pytest.raises(SourceError, match=message):
        check_info(replace(rig.info, **changes))


def scan_of(*refs, **changes):
    scene = {"name": "one", "split": "", "frames": refs, **changes}
    return Scan(scenes=(Scene(**scene),))


def ref_of(**changes):
    return FrameRef(**{"id": "a", "max_points": 1, "max_image_bytes": 1, "key": (), **changes})


@pytest.mark.parametrize(
    ("scan", "message"),
    [
        ([], r"scan\(\) is a list, not a Scan"),
        (Scan(scenes=[]), "scenes is a list, not a tuple"),
        (Scan(scenes=("one",)), "an entry of .*scenes is a str, not a Scene"),
        (Scan(scenes=scan_of(ref_of()).scenes * 2), "names of the scenes must be unique"),
        (scan_of(ref_of(), name=""), "its name is empty"),
        (scan_of(ref_of(), split=None), "scene 'one': split is a NoneType"),
        (scan_of(ref_of(), attributes={"../up": "x"}), "has the name '../up'"),
        (scan_of(ref_of(), attributes={"rain": 1}), r"attributes\['rain'\] is a int"),
        (scan_of(), "has no frames"),
        (scan_of(frames=[ref_of()]), "frames is a list, not a tuple"),
        (scan_of("a"), "an entry of .*frames is a str, not a FrameRef"),
        (scan_of(ref_of(), ref_of()), "ids of the frames must be unique"),
        (scan_of(ref_of(id="")), "its id is empty"),
        (scan_of(ref_of(id=3)), "its id is a int"),
        (scan_of(ref_of(max_points=-1)), "max_points is -1"),
        (scan_of(ref_of(max_points=2**32)), "max_points is 4294967296"),
        (scan_of(ref_of(max_image_bytes=1.5)), "max_image_bytes is 1.5"),
        (scan_of(ref_of(max_points=np.int64(3))), "max_points is .*3"),
        (scan_of(ref_of(source_bytes=-1)), "source_bytes is -1"),
        (scan_of(ref_of(key=[1])), "key is a list"),
        (scan_of(ref_of(key=(np.float32(1),))), "key is not made of JSON values"),
        (scan_of(ref_of(key=(1.0, (float("nan"),)))), "key is not made of JSON values"),
        (Scan(scenes=(), skipped=(Skipped(frame_id="a", path=3, reason=""),)), "path is a int"),
    ],
)
def test_a_faulty_scan_is_told(scan, message):
    check_scan(scan_of(ref_of(key=("a", 1, None, True, (1.5, {"b": []})))))
    with pytest.raises(SourceError, match=message):
        check_scan(scan)


def read_all(source):
    checked = Checked(source)
    return [checked.read(ref) for scene in checked.scan().scenes for ref in scene.frames]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return rig_source.write_rig(tmp_path_factory.mktemp("more") / "data")


def test_an_error_names_source_frame_exception_and_line(root, monkeypatch):
    with pytest.raises(ForeignSourceError) as told:
        read_all(rig_source.Crashing(root))
    line = rig_source.Path(rig_source.__file__).read_text().splitlines().index(
        '            return {}["calibration"]'
    )  # fmt: skip
    assert str(told.value).startswith(
        "rig_source:Crashing: frame 'one/2': KeyError: 'calibration' "
        f"(rig_source.py, line {line + 1})\n"
    )
    assert isinstance(told.value.__cause__, KeyError)
    # Importing distributed, as other tests do, has every exception pickled in another way.
    monkeypatch.delitem(copyreg.dispatch_table, ForeignSourceError, raising=False)
    again = pickle.loads(pickle.dumps(told.value))
    assert str(again) == str(told.value)
    assert type(again) is ForeignSourceError
    assert 'return {}["calibration"]' in str(again.__cause__)


def test_what_is_checked_names_source_and_frame_too(root):
    with pytest.raises(SourceError) as told:
        read_all(rig_source.Silent(root))
    expected = "rig_source:Silent: frame 'one/3': cameras['front'].T_camera_from_lidar has NaN"
    assert str(told.value).startswith(expected)


def raising(error, root):
    class Raising(Rig):
        def read(self, ref):
            raise error

    return Raising(root)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SourceError("the file is bad"), SourceError),
        (ValueError("x"), ForeignSourceError),
        (FileNotFoundError(2, "No such file", "a.bin"), ForeignSourceError),
        (OSError("cannot identify image file"), ForeignSourceError),
        (ImportError("no devkit"), ForeignError),
        # The machine's faults: the frame may be good, and must not be left out.
        (PermissionError(13, "Permission denied", "a.bin"), PermissionError),
        (OSError(5, "Input/output error", "a.bin"), OSError),
        (MemoryError(), MemoryError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_whose_fault_it_is(root, error, kind):
    with pytest.raises(kind) as told:
        read_all(raising(error, root))
    assert type(told.value) is kind
    assert isinstance(told.value, SourceError) == (kind in (SourceError, ForeignSourceError))
    if kind is type(error):
        assert told.value is error


def test_a_record_that_the_checks_stumble_over_is_told(root):
    class Odd(Rig):
        def read(self, ref):
            return replace(super().read(ref), attributes={"weather": "", 3: ""})

    with pytest.raises(SimipuError, match="Odd: frame 'one/0': "):
        read_all(Odd(root))
