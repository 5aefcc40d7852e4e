"""Train and measure the method with and without each repair: one row each, three seeds."""

import argparse
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from simipu.train.checkpoint import list_checkpoints
from simipu.train.runlog import read_log

COMMANDS = Path(sys.executable).parent

# What mends the released code, and what undoes that in the mended one.
REPAIRS = {
    "pairs by row": ("pairs=rows", "pairs=assignment views=shuffled"),
    "visible points only": ("visible_only=true", "visible_only=false"),
    "exact pixel mapping": ("pixel_mapping=exact", "pixel_mapping=released"),
    "trained heads": ("trained_heads=true", "trained_heads=false"),
    "symmetric losses": ("symmetric=true", "symmetric=false"),
    "relative coordinates": ("coordinates=relative", "coordinates=none"),
    "near-duplicates masked": ("mask_near_duplicates=true", "mask_near_duplicates=false"),
    "augmented cloud": ("inter_cloud=augmented", "inter_cloud=clean"),
    "crops": ("augmentation=crop", "augmentation=released"),
    "resampled views": ("pairs=rows views=resampled", "views=shuffled"),
    "strides 8, 16, 32": ("strides=[8,16,32]", "strides=[32]"),
    "AdamW": ("optimizer=adamw", "optimizer=hybrid"),
}
CHOICES = {
    "absolute coordinates": "model.coordinates=absolute",
    "negatives of the frame": "model.negatives=frame",
    "shared views": "model.views=shared",
    "no crops": "model.augmentation=whole",
    "reflecting padding": "model.padding=reflect",
    "no intensity": "sample.intensity=false",
    "many pairs per cell": "sample.cell_px=1",
    "sparse U-Net": "model.point_encoder=sparse-unet",
    "released point encoder": "model.point_encoder=pointnet2-msg",
}
FULL = {"scenes": 40, "frames": 5, "held_out": 10, "scale": 0.35, "steps": 300, "seeds": 3}
TINY = {"scenes": 4, "frames": 2, "held_out": 2, "scale": 0.3, "steps": 2, "seeds": 1}
SETTINGS = (
    "model.image_backbone=resnet18 sample.height=64 sample.width=192 sample.pairs=96 "
    "sample.points=1024 optim.batch_size=6 log.eval_every=1000000 checkpoint.keep=1"
)
TINY_SETTINGS = (
    "model.image_backbone=test_resnet sample.height=32 sample.width=96 sample.pairs=16 "
    "sample.points=128 optim.batch_size=2"
)
HEADLINES = (
    ("pixel to point, R@1", "retrieval", "pixel to point, right image", "recall_at_1"),
    ("control", "retrieval", "pixel to point, another image", "recall_at_1"),
    ("point to pixel, R@1", "retrieval", "point to pixel, right image", "recall_at_1"),
    ("control", "retrieval", "point to pixel, another image", "recall_at_1"),
    ("depth, AbsRel", "depth", "fitted to", "abs_rel"),
    ("points, error in degrees", "points", "fitted to", "error_deg"),
    ("frames a second", "training", "speed", "frames_per_s"),
)
RESULT = "evaluation.json"
COLUMNS = ("row", "probe", "setting", "metric", "mean", "deviation", "seeds")


def make_rows() -> dict[str, list[str]]:
    """The settings of each row, by its name."""
    # The released point encoder is many times slower: it has two rows of its own.
    compat = ["model.preset=compat", "model.point_encoder=pointnet2"]
    rows = {
        "compat": compat,
        "fixed": [],
        "compat, released point encoder": compat[:1],
    }
    for name, (mended, broken) in REPAIRS.items():
        rows[f"compat + {name}"] = [*compat, *_model(mended)]
        rows[f"fixed - {name}"] = _model(broken)
    for name, setting in CHOICES.items():
        rows[f"fixed, {name}"] = [setting]
    return rows


def _model(settings: str) -> list[str]:
    return [f"model.{setting}" for setting in settings.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", help="folder for everything that is made")
    parser.add_argument("--tiny", action="store_true", help="two rows, in a minute")
    parser.add_argument("--only", action="append", metavar="ROW", help="repeatable")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="A.B=C")
    parser.add_argument("--list", action="store_true", help="print the rows")
    arguments = parser.parse_args()
    rows = make_rows()
    if arguments.list:
        print("\n".join(f"{name}: {' '.join(settings)}" for name, settings in rows.items()))
        return
    if arguments.out is None:
        parser.error("name a folder")
    wanted = arguments.only or (["compat", "fixed"] if arguments.tiny else list(rows))
    if unknown := set(wanted) - set(rows):
        parser.error(f"there is no row {sorted(unknown)[0]!r}: see --list")
    size = TINY if arguments.tiny else FULL
    common = SETTINGS.split() + (TINY_SETTINGS.split() if arguments.tiny else [])
    common += arguments.settings
    out = arguments.out / "tiny" if arguments.tiny else arguments.out
    keep_settings(out, [f"{name}={value}" for name, value in size.items()] + common)
    store = make_store(out, size)
    for seed in range(size["seeds"]):  # all rows with one seed first: a table early on
        for name in wanted:
            run = out / "runs" / _folder(name) / str(seed)
            train(run, store, size, [*common, *rows[name]], seed)
            measure(run, store, size, run / RESULT, seeds=1)
            if name == "fixed":
                measure(run, store, size, out / RESULT, seeds=size["seeds"])
            write_table(out, rows)
    print(f"{out / 'table.md'}")


def keep_settings(out: Path, settings: list[str]) -> None:
    """What is finished is not done again: all rows of a folder must have the same settings."""
    path = out / "settings.json"
    if path.exists() and (begun := json.loads(path.read_text())) != settings:
        sys.exit(f"Error: {out} was begun with other settings, {begun}: choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings))


def make_store(out: Path, size: dict) -> Path:
    """Worlds, each scene of them another; the last ones are only measured on."""
    world, store = out / "kitti", out / "kitti.zarr"
    sizes = ["--scenes", size["scenes"], "--frames", size["frames"], "--image-scale", size["scale"]]
    if not (out / "store-done").exists():
        call("simipu-prep", "synthetic", "--layout", "kitti", "--out", world, *sizes)
        call("simipu-prep", "kitti", "--root", world, "--out", store)
        (out / "store-done").touch()
    return store


def train(run: Path, store: Path, size: dict, settings: list[str], seed: int) -> None:
    """Train to the end, or on to it."""
    checkpoints = list_checkpoints(run / "checkpoints")
    if checkpoints and checkpoints[-1].stem.endswith(f"{size['steps']:09d}"):
        return
    end = (size["scenes"] - size["held_out"]) * size["frames"]
    assignments = [word for setting in settings for word in ("--set", setting)]
    call(
        "simipu-train", store, "--out", run, "--resume", "--frames", f":{end}",
        "--steps", size["steps"], "--seed", seed, *assignments,
    )  # fmt: skip


def measure(run: Path, store: Path, size: dict, result: Path, *, seeds: int) -> None:
    """Measure on the worlds that were not trained on; the probes are fitted to the others."""
    if result.exists():
        return
    end = (size["scenes"] - size["held_out"]) * size["frames"]
    text = call(
        "simipu-eval", run, store, "--frames", f"{end}:", "--fit-frames", f":{end}",
        "--seeds", seeds, "--json",
    )  # fmt: skip
    partial = result.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(result)


def write_table(out: Path, rows: dict[str, list[str]]) -> None:
    """Means and deviations over the seeds that are finished, of everything that was measured."""
    found: dict[tuple[str, ...], list[float]] = {}
    for name in rows:
        for result in sorted((out / "runs" / _folder(name)).glob(f"*/{RESULT}")):
            for each, metric, values in _numbers(result):
                if each["subject"] == result.parent.name:  # the run, as its folder is named
                    key = (name, each["probe"], each["setting"], metric)
                    found.setdefault(key, []).append(statistics.fmean(values))
            log = read_log(result.parent)
            speeds = [line["frames_per_s"] for line in log if "frames_per_s" in line]
            key = (name, "training", "speed", "frames_per_s")
            found.setdefault(key, []).append(statistics.median(speeds))
    if (out / RESULT).exists():
        for each, metric, values in _numbers(out / RESULT):
            if not each["subject"].isdigit():  # the baselines, which no seed of a run changes
                found[each["subject"], each["probe"], each["setting"], metric] = values
    table = [
        dict(zip(COLUMNS, (*key, *_spread(values), len(values)), strict=True))
        for key, values in found.items()
    ]
    (out / "table.json").write_text(json.dumps(table, indent=1))
    head = ["", *(title for title, *_ in HEADLINES)]
    lines = [head, ["---", *["---:"] * len(HEADLINES)]]
    for name in dict.fromkeys(line["row"] for line in table):
        own = [line for line in table if line["row"] == name]
        lines.append([name, *(_cell(own, *headline) for _, *headline in HEADLINES)])
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    (out / "table.md").write_text(text)


def _cell(lines: list[dict], probe: str, setting: str, metric: str) -> str:
    """One number and its spread; of several settings, that of the most images fitted to."""
    fitting = [
        line
        for line in lines
        if (line["probe"], line["metric"]) == (probe, metric) and setting in line["setting"]
    ]
    if not fitting:
        return "-"
    line = max(fitting, key=lambda line: [int(n) for n in re.findall(r"\d+", line["setting"])])
    spread = "" if line["deviation"] is None else f" ± {line['deviation']:.3f}"
    return f"{line['mean']:.3f}{spread}"


def _numbers(result: Path) -> Iterator[tuple[dict, str, list[float]]]:
    """What was measured, metric by metric, with the values of each seed of the measurement."""
    for each in json.loads(result.read_text())["results"]:
        for metric, spread in each["metrics"].items():
            if spread["values"]:
                yield each, metric, spread["values"]


def _spread(values: list[float]) -> tuple[float, float | None]:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _folder(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


def call(command: str, *arguments: object) -> str:
    """What a command of simipu prints; its messages are passed on."""
    words = [str(COMMANDS / command), *map(str, arguments)]
    print("$", command, *words[1:], flush=True)
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
