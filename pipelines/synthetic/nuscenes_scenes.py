"""Which scene of nuScenes a synthetic scene stands for, when its sensors fire, and its tokens.

Scenes carry names of the official lists, so that the official splits apply: up to ten are a
v1.0-mini with mini_train and mini_val, more a v1.0-trainval with train and val. The last quarter
of them belongs to the validation split, as far as its list reaches.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from simipu.errors import UsageError

SWEEP_US = 50_000
SWEEPS = 10
"""LiDAR turns from one keyframe to the next: 20 Hz, keyframes at 2 Hz."""
IMAGE_SWEEPS = (0, 2, 3, 5, 7, 8)
"""In which of these turns the cameras fire: at 12 Hz they must leave some out."""
KEYFRAME_S = SWEEPS * SWEEP_US * 1e-6

_MINI = (
    "61 553 655 757 796 1077 1094 1100",
    "103 916",
)
_TRAINVAL = (
    "1-2 4-11 19-34 41-76 120-135 138-139 149-152 154-155 157-168 170-185 187-188 190-196 199-200 "
    "202-204 206-214 218-220 222 224-264 283-306 315-318 321 323-324 328 347-386 388-403 405-408 "
    "410-459 461-465 467-469 471-472 474-480 499-502 504-515 517-518 525-539 541-546 566 568 "
    "570-578 580 582-600 639-679 681 683-689 695-698 700-701 703-719 726-728 730-731 733-741 744 "
    "746-747 749-752 757-765 767-769 786-787 789-792 803-806 808-813 815-817 819-822 847-856 858 "
    "860-866 868-873 875-878 880 882-903 945 947 949 952-953 955-961 975-984 988-992 994-1025 "
    "1044-1058 1074-1102 1104-1110",
    "3 12-18 35-36 38-39 92-110 221 268-278 329-332 344-346 519-524 552-565 625-627 629-630 "
    "632-638 770-771 775 777-778 780-784 794-800 802 904-917 919-931 962-963 966-969 971-972 "
    "1059-1073",
)
_FIRST_US = 1_600_000_000_000_000  # 2020-09-13 12:26:40 UTC
_SCENES_APART_US = 3_600_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """One scene, which is also one log.

    Attributes:
        number: of the scene, from 0.
        name: "scene-NNNN" of the official lists.
        start_us: when the first keyframe's sweep ends, in microseconds since 1970.
    """

    number: int
    name: str
    start_us: int

    @property
    def logfile(self) -> str:
        """Name of the log, with which every file name begins."""
        begin = datetime.fromtimestamp(self.start_us // 1_000_000, tz=UTC)
        return f"n000-{begin:%Y-%m-%d-%H-%M-%S}+0000"

    @property
    def date(self) -> str:
        """Day of the recording."""
        return f"{datetime.fromtimestamp(self.start_us // 1_000_000, tz=UTC):%Y-%m-%d}"

    def filename(self, channel: str, t_us: int, suffix: str, *, is_key: bool) -> str:
        """Return where a sensor's file lies, relative to the data set's root."""
        folder = "samples" if is_key else "sweeps"
        return f"{folder}/{channel}/{self.logfile}__{channel}__{t_us}{suffix}"


def recordings(scenes: int) -> tuple[str, tuple[Recording, ...]]:
    """Return the version that so many scenes make, and the scenes in order.

    Raises:
        UsageError: there are no more official names.
    """
    version, lists = ("v1.0-mini", _MINI) if scenes <= 10 else ("v1.0-trainval", _TRAINVAL)
    train, val = map(_names, lists)
    if scenes > len(train) + len(val):
        raise UsageError(
            f"nuScenes has only {len(train) + len(val)} scenes for training and validation",
            fix="Give fewer --scenes.",
        )
    held_out = max(min(max(scenes // 4, 1), len(val)), scenes - len(train)) if scenes > 1 else 0
    names = train[: scenes - held_out] + val[:held_out]
    return version, tuple(
        Recording(number=n, name=name, start_us=_FIRST_US + n * _SCENES_APART_US)
        for n, name in enumerate(names)
    )


def token(*what: object) -> str:
    """Return the 32 hexadecimal digits that stand for something, always the same."""
    text = "/".join(map(str, what))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _names(ranges: str) -> list[str]:
    names: list[str] = []
    for span in ranges.split():
        first, _, last = span.partition("-")
        names += [f"scene-{n:04d}" for n in range(int(first), int(last or first) + 1)]
    return names
