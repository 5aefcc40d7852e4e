"""Waymo frames of the official sizes, made up in seconds: what a benchmark needs, and no more.

64 x 2650 and four times 200 x 600 pixels with both returns, five cameras. Rays are cast on a plane,
walls and boxes, with noise and lost returns; the vehicle drives and turns, 30 km from the origin.
Images are smooth noise, as large as real ones.
"""

import io

import numpy as np
from PIL import Image as PillowImage

from simipu.geometry import se3, shutter
from simipu.pipelines.synthetic import rigs
from simipu.pipelines.synthetic.waymo_calibration import camera_calibration, laser_calibration
from simipu.pipelines.synthetic.waymo_content import (
    CAMERAS,
    IMAGE_ORDER,
    LASER_ORDER,
    LASERS,
    FrameContent,
    Image,
    RangeImages,
)
from simipu.records import Shutter

START_US = 1_550_000_000_000_000
SPEED_M_S = np.array([12.0, 0.3, 0.05])
TURN_RAD_S = np.array([0.01, -0.02, 0.25])
SHUTTER_S = 0.003


def make_frame(number, *, range_step_m=0.0, intensity_step=0.0, seed=0):
    """One frame.

    Args:
        number: of the frame; they are 0.1 s apart.
        range_step_m, intensity_step: what ranges, and intensities and elongations, are multiples
            of; 0 for none, so that all bits of their float32 are noise.
        seed: another seed is another scene.
    """
    rng = np.random.default_rng([seed, number])
    rig = rigs.waymo()
    start_s = number * 0.1
    frame_s = start_s + 0.05
    lidars = {lidar.name: lidar for lidar in rig.lidars}
    images, shots = [], {}
    for name in IMAGE_ORDER:
        camera = next(c for c in rig.cameras if c.name == name)
        axis = camera.T_ego_from_camera[:3, 2]
        middle_s = start_s + 0.1 * (0.5 - np.arctan2(axis[1], axis[0]) / (2 * np.pi))
        T = pose(middle_s)
        trigger_s = START_US * 1e-6 + middle_s - (camera.readout_s + SHUTTER_S) / 2
        image = Image(
            camera=CAMERAS[name],
            jpeg=jpeg(camera, rng),
            T_world_from_vehicle=T,
            velocity_m_s=(T[:3, :3] @ SPEED_M_S).astype(np.float32),
            angular_velocity_rad_s=TURN_RAD_S,
            pose_s=START_US * 1e-6 + middle_s,
            shutter_s=SHUTTER_S,
            trigger_s=trigger_s,
            readout_done_s=trigger_s + camera.readout_s + SHUTTER_S,
        )
        images.append(image)
        shots[image.camera] = (camera, image)
    steps = (range_step_m, intensity_step)
    return FrameContent(
        context=f"1{seed:018d}_0_000_20_000",
        timestamp_us=START_US + number * 100_000,
        T_world_from_vehicle=pose(frame_s),
        cameras=tuple(camera_calibration(camera) for camera in rig.cameras),
        lasers=tuple(laser_calibration(lidars[name]) for name in LASER_ORDER),
        images=tuple(images),
        range_images=tuple(
            laser(lidars[name], start_s, frame_s, shots, steps, rng, seed) for name in LASER_ORDER
        ),
        boxes=(),
    )


def pose(t_s):
    """T_world_from_vehicle, (4, 4)."""
    angle = 0.7 + TURN_RAD_S[2] * t_s
    T = np.eye(4)
    roll, pitch = 0.01 + TURN_RAD_S[0] * t_s, -0.02 + TURN_RAD_S[1] * t_s
    T[:3, :3] = of_angles(roll, pitch, angle)
    T[:3, 3] = np.array([21_000.0, -17_000.0, 30.0]) + of_angles(0, 0, 0.7) @ (SPEED_M_S * t_s)
    return T


def of_angles(roll, pitch, yaw):
    (a, b, c), (d, e, f) = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    about_x = np.array([[1, 0, 0], [0, a, -d], [0, d, a]])
    about_y = np.array([[b, 0, e], [0, 1, 0], [-e, 0, b]])
    return np.array([[c, -f, 0], [f, c, 0], [0, 0, 1]]) @ about_y @ about_x


def laser(lidar, start_s, frame_s, shots, steps, rng, seed):
    height, width = len(lidar.elevations_rad), lidar.columns
    up = lidar.elevations_rad[:, None]
    around = lidar.azimuth_rad(np.arange(width))
    rays = np.stack(
        [np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up) + 0 * around], -1
    )
    E = lidar.T_ego_from_lidar
    directions = rays @ E[:3, :3].T
    distance, albedo = cast(E[:3, 3], directions.reshape(-1, 3), seed)
    distance = distance.reshape(height, width) + 0.015 * rng.standard_normal((height, width))
    lost = rng.random((height, width)) < 0.02
    is_hit = (distance > 0.3) & (distance < lidar.max_range_m) & ~lost
    if lidar.name != "TOP":
        is_hit &= np.abs(rays[..., 1]) * 1.2 < rays[..., 0]
        is_hit &= rng.random((height, width)) < 0.4
    intensity = albedo.reshape(height, width) * rng.gamma(4.0, 0.25, (height, width))
    elongation = np.where(rng.random((height, width)) < 0.7, 0, rng.random((height, width)))
    second_hit = is_hit & (rng.random((height, width)) < 0.1)
    behind = distance + rng.uniform(0.5, 10.0, (height, width))
    returns, projections = [], []
    times = start_s + lidar.time_s(np.arange(width)) if lidar.name == "TOP" else frame_s
    poses = np.array([pose(t) for t in np.broadcast_to(times, width)])
    for hit, r in ((is_hit, distance), (second_hit, behind)):
        image = np.full((height, width, 4), -1.0, dtype=np.float32)
        image[hit, 0] = stepped(r, steps[0])[hit]
        image[hit, 1] = stepped(intensity, steps[1])[hit]
        image[hit, 2] = stepped(elongation, steps[1])[hit]
        returns.append(image)
        row, column = np.nonzero(hit)
        vehicle = directions[row, column] * r[row, column, None] + E[:3, 3]
        world = np.einsum("nij,nj->ni", poses[column, :3, :3], vehicle) + poses[column, :3, 3]
        found = np.zeros((height, width, 6), dtype=np.int32)
        found[row, column] = project(world, shots)
        projections.append(found)
    pixel_poses = None
    if lidar.name == "TOP":
        R = poses[:, :3, :3]
        angles = (
            np.arctan2(R[:, 2, 1], R[:, 2, 2]),
            np.arcsin(-R[:, 2, 0]),
            np.arctan2(R[:, 1, 0], R[:, 0, 0]),
        )
        columns = np.column_stack([*angles, poses[:, :3, 3]]).astype(np.float32)
        pixel_poses = np.broadcast_to(columns, (height, width, 6)).copy()
    return RangeImages(
        laser=LASERS[lidar.name],
        returns=tuple(returns),
        projections=tuple(projections),
        pose=pixel_poses,
    )


def stepped(values, step):
    return np.round(values / step) * step if step else values


def cast(origin, directions, seed):
    """Distance and albedo of what each ray hits: the ground, two rows of walls, sixty boxes."""
    rng = np.random.default_rng([seed, 1])
    centre = np.column_stack([rng.uniform(-70, 70, 60), rng.uniform(-25, 25, 60)])
    centre = centre[np.hypot(*centre.T) > 6]
    size = rng.uniform([0.5, 0.5, 0.8], [5.0, 2.5, 3.5], (len(centre), 3))
    boxes = [
        ([x - a / 2, y - b / 2, 0.0], [x + a / 2, y + b / 2, c])
        for (x, y), (a, b, c) in zip(centre, size, strict=True)
    ]
    boxes += [
        ([x, side * 28 - 3, 0], [x + 18, side * 28 + 3, 8])
        for x in range(-80, 80, 22)
        for side in (-1, 1)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1.0 / directions
        best = np.where(directions[:, 2] < 0, -origin[2] * inverse[:, 2], np.inf)
        albedo = np.full(len(best), 0.12)
        for low, high in boxes:
            near, far = (np.array(low) - origin) * inverse, (np.array(high) - origin) * inverse
            enter = np.minimum(near, far).max(axis=1)
            leave = np.maximum(near, far).min(axis=1)
            hit = (enter > 0) & (enter <= leave) & (enter < best)
            best[hit], albedo[hit] = enter[hit], rng.uniform(0.05, 0.8)
    return best, albedo


def project(world, shots):
    """(N, 6): the first two cameras that see a point, and the pixels."""
    found = np.zeros((len(world), 6), dtype=np.int32)
    for number in sorted(shots):
        camera, image = shots[number]
        T_ego_from_camera = camera.T_ego_from_camera
        start_s = image.trigger_s + SHUTTER_S / 2 - image.pose_s
        row, uv, _ = shutter.project(
            world,
            T_camera_from_lidar=se3.invert(image.T_world_from_vehicle @ T_ego_from_camera),
            T_ego_from_camera=T_ego_from_camera,
            K=camera.K,
            distortion=camera.distortion,
            width=camera.width,
            height=camera.height,
            shutter=Shutter(
                direction="left_to_right",
                start_ns=round(start_s * 1e9),
                end_ns=round((start_s + camera.readout_s) * 1e9),
                linear_velocity_m_s=SPEED_M_S,
                angular_velocity_rad_s=TURN_RAD_S,
            ),
            timestamp_ns=0,
        )
        entry = np.column_stack([np.full(len(row), number), np.floor(uv + 0.5)]).astype(np.int32)
        free = found[row, 0] == 0
        found[row[free], :3] = entry[free]
        second = ~free & (found[row, 3] == 0)
        found[row[second], 3:] = entry[second]
    return found


def jpeg(camera, rng):
    """Smooth noise, in as many bytes as a real image: five of them have about 1.65 MB."""
    share = camera.height / 1280
    coarse = rng.integers(0, 256, (round(100 * share), 150, 3), dtype=np.uint8)
    picture = PillowImage.fromarray(coarse).resize((camera.width, camera.height))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=75)
    return out.getvalue()
