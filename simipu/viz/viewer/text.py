"""What the viewer says beside its pictures, as Markdown.

Names come from a store that may be a stranger's, so they are written as code: the browser shows
them as they are and never as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simipu.viz.viewer.colors import color_scale
from simipu.viz.viewer.pick import MAX_GAP_PX

if TYPE_CHECKING:
    from simipu.viz.viewer.frame import LoadedFrame
    from simipu.viz.viewer.pick import Marked
    from simipu.viz.viewer.state import Shown


def literal(text: str) -> str:
    """A text as code, safe in a table as well."""
    kept = "".join(letter for letter in text if letter.isprintable() and letter not in "`|")
    return f"`{kept}`" if kept.strip() else ""


def describe_frame(frame: LoadedFrame, shown: Shown) -> str:
    """Which frame it is, and how much of it is shown."""
    return (
        f"**Frame {frame.index}** {literal(frame.id)}\n\n"
        f"{len(shown.rows):,} of {len(frame.xyz):,} points"
    )


def describe_colors(frame: LoadedFrame, color_by: str) -> str:
    """What the points' colours mean."""
    if color_by == "camera":
        return "as the camera's frame, grey: in no chosen image"
    scale = color_scale(frame, color_by)
    if scale is None:
        return f"grey: the source has no {color_by}"
    if color_by == "depth":
        return f"light {scale.low:g} m, dark {scale.high:g} m, grey: in no chosen image"
    return f"{scale.label}: dark {scale.low:.3g}, light {scale.high:.3g}"


def describe_mark(frame: LoadedFrame, marked: Marked | None) -> str:
    """What is marked."""
    if marked is None:
        return "Click a point, or a pixel of an image in the scene."
    lines = []
    if (pixel := marked.pixel) is not None:
        lines.append(f"Pixel **({pixel.u:.1f}, {pixel.v:.1f})** of {literal(pixel.camera)}")
    if marked.row is None:
        return "\n\n".join([*lines, f"No point that is shown within {MAX_GAP_PX:.0f} px."])
    x, y, z = frame.xyz[marked.row].tolist()
    gap = "" if marked.gap_px is None else f", {marked.gap_px:.1f} px off"
    lines.append(f"Point **{marked.row}**{gap}")
    lines.append(f"x {x:.2f}, y {y:.2f}, z {z:.2f} m (lidar frame)")
    if frame.intensity is not None:
        lines.append(f"intensity {frame.intensity[marked.row]:.3g}")
    rows = [
        f"| {literal(name)} | {sight.u:.1f} | {sight.v:.1f} | {sight.depth:.2f} "
        f"| {'visible' if sight.visible else 'hidden'} |"
        for name, sight in marked.sights.items()
    ]
    table = ["| camera | u | v | depth (m) | |", "|---|---|---|---|---|", *rows]
    lines.append("\n".join(table) if rows else "It lies in no image.")
    return "\n\n".join(lines)
