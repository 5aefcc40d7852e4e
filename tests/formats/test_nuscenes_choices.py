"""What is asked of a nuScenes root and is not there, and roots that are none."""

import pickle
import subprocess
import sys

import pytest

from nuscenes_faults import TABLES
from nuscenes_tree import LIDAR, write_tree
from simipu.errors import SourceError, UsageError
from simipu.pipelines.sources.nuscenes import NuScenes


@pytest.fixture
def root(tmp_path):
    return write_tree(tmp_path)


@pytest.mark.parametrize(
    ("options", "fault", "fix"),
    [
        ({"version": "v1.0-trainval"}, "no version v1.0-trainval here, only v1.0-mini", "mini"),
        ({"split": "train"}, "no split 'train' in v1.0-mini: it belongs to v1.0-trainval", "mini_"),
        ({"split": "mini_vall"}, "no split 'mini_vall' in v1.0-mini", "Did you mean mini_val?"),
        ({"scenes": ("scene-0016",)}, "no scene 'scene-0016'", "Did you mean scene-0061?"),
        ({"scenes": ("x",)}, "no scene 'x'", "Choose a scene of: scene-0061, scene-0103."),
        (
            {"scenes": ("scene-0061",), "split": "mini_val"},
            "scene 'scene-0061' is not in the split mini_val",
            "Leave the split out",
        ),
        ({"cameras": ("CAM_FRONTLEFT",)}, "no camera 'CAM_FRONTLEFT'", "CAM_FRONT_LEFT?"),
        ({"cameras": (LIDAR,)}, f"no camera {LIDAR!r}", "Choose a camera of: CAM_FRONT, "),
        ({"cameras": ()}, "no camera is chosen", "CAM_FRONT"),
        ({"accumulate": -1}, "accumulate must not be negative", "e.g."),
        ({"tolerance_ms": float("nan")}, "tolerance_ms must be 0 or more, not nan", "e.g."),
        ({"tolerance_ms": -1.0}, "tolerance_ms must be 0 or more, not -1", "e.g."),
    ],
)
def test_choice_that_is_not_there(root, options, fault, fix):
    with pytest.raises(UsageError) as caught:
        NuScenes(root, **options).scan()
    assert fault in caught.value.what
    assert fix in caught.value.fix


def test_split_without_a_scene_here(tmp_path):
    write_tree(tmp_path, scenes=["scene-0061"])
    with pytest.raises(UsageError, match="no scene of the split mini_val is in the tables"):
        NuScenes(tmp_path, split="mini_val").scan()


def test_one_of_several_versions_must_be_chosen(root):
    (root / "v1.0-trainval").mkdir()
    for table in TABLES:
        path = root / f"v1.0-mini/{table}.json"
        (root / f"v1.0-trainval/{table}.json").write_bytes(path.read_bytes())
    with pytest.raises(UsageError, match=r"(?s)v1.0-mini, v1.0-trainval.*--version v1.0-mini"):
        NuScenes(root)
    assert NuScenes(root, version="v1.0-trainval").info.options["version"] == "v1.0-trainval"


@pytest.mark.parametrize("inside", ["v1.0-mini", "samples", f"samples/{LIDAR}"])
def test_root_too_low(root, inside):
    with pytest.raises(SourceError) as caught:
        NuScenes(root / inside)
    assert f"Pass {root} instead" in str(caught.value)


def test_root_too_high(tmp_path):
    root = write_tree(tmp_path / "nuscenes", scenes=["scene-0061"], keyframes=1)
    with pytest.raises(SourceError) as caught:
        NuScenes(tmp_path)
    assert f"Pass {root} instead" in str(caught.value)


def test_root_without_tables(tmp_path):
    (tmp_path / "samples").mkdir()
    with pytest.raises(SourceError, match=r"(?s)no nuscenes data here.*samples.*v1.0-mini"):
        NuScenes(tmp_path)


IN_A_NEW_PROCESS = """
import pickle, sys
for name in sys.argv[1:]:
    sys.modules[name] = None  # as if it were not installed
source, ref = pickle.load(sys.stdin.buffer)
print(len(source.read(ref).lidar))
heavy = {"nuscenes", "matplotlib", "cv2"}
print(sorted(name for name in heavy if sys.modules.get(name)))
try:
    source.scan()
except Exception as error:
    print(type(error).__name__, error)
"""


def test_reading_does_not_need_the_development_kit_and_scanning_asks_for_it(root):
    source = NuScenes(root)
    ref = source.scan().scenes[0].frames[1]
    result = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS, "nuscenes"],
        input=pickle.dumps((source, ref)),
        capture_output=True,
        check=True,
    )
    count, loaded, *error = result.stdout.decode().splitlines()
    assert (int(count), loaded) == (ref.max_points, "[]")
    assert error[0].startswith("UsageError the nuScenes development kit cannot be imported")
    assert error[1].strip() == "pip install 'simipu[nuscenes]'"
