"""Poses from OXTS packets, against the development kit's formula written out step by step."""

import math
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from kitti_tree import write_oxts
from simipu.errors import SourceError
from simipu.pipelines.sources.oxts import OxtsPacket, pose_from_oxts, read_oxts

HERE = OxtsPacket(49.0, 8.4, 100.0, 0.0, 0.0, 0.0)


def oracle_pose(packet, first):
    """convertOxtsToPose.m, entry by entry; packets are (lat, lon, alt, roll, pitch, yaw)."""
    earth_radius = 6378137.0
    scale = math.cos(first[0] * math.pi / 180.0)

    def position(p):
        mx = scale * p[1] * math.pi * earth_radius / 180.0
        my = scale * earth_radius * math.log(math.tan((90.0 + p[0]) * math.pi / 360.0))
        return mx, my, p[2]

    cx, sx = math.cos(packet[3]), math.sin(packet[3])
    cy, sy = math.cos(packet[4]), math.sin(packet[4])
    cz, sz = math.cos(packet[5]), math.sin(packet[5])
    (x, y, z), (x0, y0, z0) = position(packet), position(first)
    return [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx, x - x0],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx, y - y0],
        [-sy, cy * sx, cy * cx, z - z0],
        [0, 0, 0, 1],
    ]


def test_poses_follow_the_formula(tmp_path):
    packets = []
    for index in range(6):
        path = tmp_path / f"{index:010d}.txt"
        write_oxts(path, index, drive=1)
        values = [float(word) for word in path.read_text().split(" ")][:6]
        packets.append((read_oxts(path), values))
    for packet, values in packets:
        pose = pose_from_oxts(packet, packets[0][0])
        # Differences of Mercator coordinates of some 6e6 m, each rounded to 1e-9 m.
        np.testing.assert_allclose(pose, oracle_pose(values, packets[0][1]), atol=1e-8, rtol=0)


def test_first_pose_is_at_the_origin_but_keeps_its_heading():
    packet = OxtsPacket(49.0, 8.4, 100.0, 0.1, 0.2, 0.3)
    pose = pose_from_oxts(packet, packet)
    assert np.all(pose[:3, 3] == 0)
    forward = [math.cos(0.3) * math.cos(0.2), math.sin(0.3) * math.cos(0.2), -math.sin(0.2)]
    np.testing.assert_allclose(pose[:3, 0], forward)


def test_world_is_east_north_up_in_metres():
    degree_m = math.pi * 6378137.0 / 180
    north = pose_from_oxts(OxtsPacket(49.001, 8.4, 100.0, 0, 0, 0), HERE)[:3, 3]
    east = pose_from_oxts(OxtsPacket(49.0, 8.401, 107.0, 0, 0, 0), HERE)[:3, 3]
    np.testing.assert_allclose(north, [0, 0.001 * degree_m, 0], rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(
        east, [0.001 * degree_m * math.cos(math.radians(49)), 0, 7.0], rtol=1e-6, atol=1e-8
    )


def test_real_packet(sample_data):
    path = sample_data / "kitti_raw_drive0001_text/oxts/data/0000000000.txt"
    packet = read_oxts(path)
    words = path.read_text().split()
    assert astuple(packet) == tuple(float(word) for word in words[:6])
    R = pose_from_oxts(packet, packet)[:3, :3]
    # Checked without the formula: the car moves where it points. vn, ve against the forward axis.
    vn, ve, vf = (float(word) for word in words[6:9])
    np.testing.assert_allclose(R[:2, 0] * vf, [ve, vn], atol=0.15)


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda words: words[:-1], "has 29 values, not 30"),
        (lambda words: ["x", *words[1:]], "no number"),
        (lambda words: ["nan", *words[1:]], "NaN or infinite"),
        (lambda words: ["90.0", *words[1:]], "no position on Earth"),
    ],
)
def test_damaged_packet(tmp_path, edit, fault):
    path: Path = tmp_path / "0000000003.txt"
    write_oxts(path, 3, drive=0)
    path.write_text(" ".join(edit(path.read_text().split())))
    with pytest.raises(
        SourceError, match=rf"(?s)0000000003\.txt.*{fault}.*remove the drive's oxts"
    ):
        read_oxts(path)
