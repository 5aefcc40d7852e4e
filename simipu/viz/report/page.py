"""The report's HTML. All text from the store is escaped: names in it are not ours."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from simipu.viz.colors import DEPTH_RANGE_M
from simipu.viz.report.charts import bars
from simipu.viz.report.gather import DEPTH_EDGES_M
from simipu.viz.report.style import STYLE
from simipu.viz.report.warnings import describe, find_warnings, with_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simipu.store.reader import Store
    from simipu.viz.report.gather import CameraNumbers, Numbers

SECTIONS = {
    "overview": "Overview",
    "warnings": "Warnings",
    "alignment": "Alignment",
    "pairs": "Pairs",
    "timing": "Timing",
    "scenes": "Scenes",
    "samples": "Samples",
}
MOST_SCENES = 200
OFFSET_BINS = 20


def draw_page(store: Store, numbers: Numbers) -> str:
    """Lay out the whole page."""
    bodies = {
        "overview": _overview(store),
        "warnings": _warnings(store, numbers),
        "alignment": _alignment(numbers),
        "pairs": _pairs(numbers),
        "timing": _timing(numbers),
        "scenes": _scenes(store),
        "samples": _samples(numbers),
    }
    name = escape(f"{store.attributes['source']['name']}: {store.path.name}")
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title in SECTIONS.items())
    sections = "".join(
        f'<section id="{key}"><h2>{SECTIONS[key]}</h2>{body}</section>'
        for key, body in bodies.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{STYLE}</style></head><body>"
        f"<header><h1>{name}</h1><nav>{links}</nav></header><main>{sections}</main></body></html>\n"
    )


def _overview(store: Store) -> str:
    source, counts = store.attributes["source"], store.attributes["counts"]
    entry = store.attributes["correspondence"]
    rows = [
        ("Frames", f"{len(store):,}"),
        ("Scenes", f"{len(store.scenes):,}"),
        ("Cameras", ", ".join(store.cameras)),
        ("Points", f"{counts['points']:,} with {', '.join(store.point_columns)}"),
        ("Images", f"{counts['images']:,}"),
        ("Pairs", "none" if entry is None else f"{entry['pairs']:,}"),
        ("Licence", str(source["licence"])),
        ("Fingerprint", store.fingerprint[:16]),
    ]
    if entry is not None and entry["pairs"]:
        rows.insert(6, ("Visible", f"{entry['visible'] / entry['pairs']:.1%} of the pairs"))
        policy = ", ".join(f"{key} {value}" for key, value in entry["policy"].items())
        rows.insert(7, ("Policy", policy))
    rows += [("Note", str(note)) for note in source["notes"]]
    body = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in rows)
    return f"<dl>{body}</dl>"


def _warnings(store: Store, numbers: Numbers) -> str:
    items = "".join(
        f'<li class="{finding.level}"><b>{finding.level.capitalize()}</b> '
        f'{escape(finding.text)} <a href="#{finding.section}">'
        f"{SECTIONS[finding.section]}</a></li>"
        for finding in find_warnings(store, numbers)
    )
    return f"<ul>{items}</ul>" if items else "<p>None.</p>"


def _alignment(numbers: Numbers) -> str:
    alignment = numbers.alignment
    if alignment is None:
        return "<p>Nothing can be said without correspondences.</p>"
    rotations = list(alignment.cameras.items())
    if alignment.lidar is not None:
        rotations.append(("LiDAR, all cameras", alignment.lidar))
    rows = []
    for name, found in rotations:
        shift = (
            ""
            if found.shift_px is None or found.shift_sigma_px is None
            else ", ".join(
                with_error(value, sigma, 1)
                for value, sigma in zip(found.shift_px, found.shift_sigma_px, strict=True)
            )
        )
        evidence = f"{found.gain:.1f}"
        rows.append((name, describe(found), shift, f"{found.edges:,}", evidence, found.verdict))
    head = (
        "Camera", "Rotation about x, y, z", "Shift u, v (px)", "Edges",
        "Better than stored (\N{GREEK SMALL LETTER SIGMA})", "Verdict",
    )  # fmt: skip
    times = [
        (name, *(_sigmas(value) for value in timing.sigmas), str(max(timing.pairs)), timing.verdict)
        for name, timing in alignment.timing.items()
    ]
    time_head = (
        "Camera", "Own image fits better than the one before (\N{GREEK SMALL LETTER SIGMA})",
        "than the one after (\N{GREEK SMALL LETTER SIGMA})", "Comparisons", "Timing",
    )  # fmt: skip
    return (
        f"<p>Frames used: {alignment.frames:,}. Edges that the LiDAR sees are compared with edges "
        "of the images: the rotation is the one under which they agree best, as it has to be "
        "applied to the camera's frame (x right, y down, z forward) to mend the calibration. "
        "Standard errors leave out what is common to all frames.</p>"
        + _table(head, rows)
        + _table(time_head, times)
    )


def _sigmas(value: float | None) -> str:
    return "not known" if value is None else f"{value:+.1f}"


def _pairs(numbers: Numbers) -> str:
    head = ("Camera", "Images", "Median pairs", "Fewest", "Most", "Visible", "Images read")
    rows, charts = [], []
    labels = [f"{low}" for low in DEPTH_EDGES_M[:-1]] + [f"{DEPTH_EDGES_M[-1]}+"]
    for name, camera in numbers.cameras.items():
        if not len(camera.pairs):
            continue
        total = int(camera.by_depth.sum())
        visible = f"{camera.visible / total:.1%}" if total else "none"
        ends = (f"{f(camera.pairs):,.0f}" for f in (np.median, np.min, np.max))
        rows.append((name, f"{camera.images:,}", *ends, visible, f"{camera.read:,}"))
        chart = bars(
            f"Pairs of {name} by depth",
            labels,
            (camera.by_depth / max(camera.read, 1)).tolist(),
            x_label="depth from (m)",
            y_label="pairs per image",
        )
        charts.append(_figure(chart, f"{name}: pairs by depth"))
    return _table(head, rows) + f'<div class="charts">{"".join(charts)}</div>'


def _timing(numbers: Numbers) -> str:
    head = ("Camera", "Median offset (ms)", "Earliest", "Latest", "Images with times")
    rows, charts = [], []
    for name, camera in numbers.cameras.items():
        offsets = camera.offsets_ms
        if not len(offsets):
            continue
        ends = (f"{f(offsets):+.1f}" for f in (np.median, np.min, np.max))
        rows.append((name, *ends, f"{len(offsets):,}"))
        charts.append(_figure(_offset_chart(name, camera), f"{name}: image minus cloud"))
    if not rows:
        return "<p>The store has no times of its images and clouds.</p>"
    return (
        "<p>Time of an image minus the time of its cloud.</p>"
        + _table(head, rows)
        + f'<div class="charts">{"".join(charts)}</div>'
    )


def _offset_chart(name: str, camera: CameraNumbers) -> str:
    offsets = camera.offsets_ms
    low, high = float(offsets.min()), float(offsets.max())
    if high - low < 1.0:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(offsets, OFFSET_BINS, (low, high))
    labels = [f"{edge:.3g}" if i % 4 == 0 else "" for i, edge in enumerate(edges[:-1])]
    title = f"Timing offsets of {name}"
    return bars(title, labels, counts.tolist(), x_label="offset from (ms)", y_label="images")


def _scenes(store: Store) -> str:
    rows = [(scene.name, scene.split, f"{len(scene):,}") for scene in store.scenes[:MOST_SCENES]]
    more = len(store.scenes) - len(rows)
    rest = f"<p>And {more:,} more.</p>" if more else ""
    return _table(("Scene", "Split", "Frames"), rows) + rest


def _samples(numbers: Numbers) -> str:
    figures = []
    for sample in numbers.samples:
        data = base64.b64encode(sample.jpeg).decode()
        caption = f"frame {sample.frame}, {sample.frame_id}, {sample.camera}"
        image = (
            f'<img src="data:image/jpeg;base64,{data}" '
            f'alt="{escape("Visible points over the image of " + caption)}">'
        )
        figures.append(_figure(image, caption))
    near, far = DEPTH_RANGE_M
    lead = f"<p>Visible points over their images, light at {near:g} m, dark at {far:g} m.</p>"
    return lead + f'<div class="samples">{"".join(figures)}</div>' if figures else "<p>None.</p>"


def _figure(body: str, caption: str) -> str:
    return f"<figure>{body}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
