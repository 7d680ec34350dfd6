"""The domain-gap report: a table, JSON, and one HTML page that needs nothing from elsewhere."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cyclegan.gap.compare import Gap
from cyclegan.gap.page import page
from cyclegan.gap.samples import Sample
from phasegen.files import make_folder, written_whole

Array = NDArray[Any]


def table(gaps: Sequence[Gap]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the figures, one column for each gap."""
    rows: list[list[str]] = [
        ["images", *(str(g.images) for g in gaps)],
        ["entropy, KS", *(f"{g.entropy.statistic:.3f}" for g in gaps)],
        ["entropy, p of patches", *(f"{g.entropy.p:.2g}" for g in gaps)],
        ["entropy, p of images", *(f"{g.entropy.p_images:.2g}" for g in gaps)],
        ["grey values, Wasserstein", *(f"{g.grey[0]:.4f}" for g in gaps)],
        ["grey values, Jensen-Shannon", *(f"{g.grey[1]:.3f}" for g in gaps)],
        ["gradients, Wasserstein", *(f"{g.gradient[0]:.4f}" for g in gaps)],
        ["gradients, Jensen-Shannon", *(f"{g.gradient[1]:.3f}" for g in gaps)],
        ["spectrum, dB", *(f"{g.spectrum:.2f}" for g in gaps)],
    ]
    for label in gaps[0].octaves:
        rows.append([f"excess at {label}, dB", *(f"{g.octaves[label]:+.1f}" for g in gaps)])
    for label in gaps[0].patterns:
        rows.append([f"patterns at {label}", *(f"{g.patterns[label]:.3f}" for g in gaps)])
    for name in gaps[0].kernel:
        kernels = [g.kernel[name] for g in gaps]
        rows.append([f"KID, {name}", *(f"{k.value:.3f} ± {k.error:.3f}" for k in kernels)])
        rows.append([f"KID, {name}, p of images", *(f"{k.p:.2g}" for k in kernels)])
    for name in gaps[0].classifier:
        tests = [g.classifier[name] for g in gaps]
        rows.append([f"classifier, {name}", *(f"{t.accuracy:.2f} ± {t.error:.2f}" for t in tests)])
        chances = [f"{t.chance[0]:.2f} - {t.chance[1]:.2f}" for t in tests]
        rows.append([f"chance, {name}", *chances])
    rows.append(["size, synthetic / real", *(f"{g.morphology.size.difference:.2f}" for g in gaps)])
    return ["gap to the real images", *(g.name for g in gaps)], rows


def save(
    path: Path,
    samples: Sequence[Sample],
    gaps: Sequence[Gap],
    halves: Gap | None,
    remarks: Sequence[str],
    maps: Sequence[Array] | None,
) -> list[Path]:
    """Write the page and, beside it, the figures as JSON.

    Parameters
    ----------
    path : Path
        Of the page; the JSON takes its name.
    samples : sequence of Sample
        The real one first.
    gaps : sequence of Gap
        Of the others, in their order.
    halves : Gap, optional
        Between halves of the real images.
    remarks : sequence of str
        What else a reader should know.
    maps : sequence of ndarray (patches, 2), optional
        From `embedding.embed`, one per sample.

    Raises
    ------
    InputError
        If the file system refuses.
    """
    make_folder(path.parent)
    real = samples[0].pictures
    content = {
        "real": {
            "folder": str(real.path),
            "images": len(real.images),
            "patches": real.patches.shape[1],
            "patch": real.patches.shape[2],
            "pixel_size": real.pixel_size,
        },
        "gaps": [asdict(gap) for gap in gaps],
        "halves": asdict(halves) if halves else None,
        "remarks": list(remarks),
    }
    beside = path.with_suffix(".json")
    figures = table([*gaps, halves] if halves else gaps)
    with written_whole(path) as partial:
        text = page(samples, gaps, remarks, maps, figures)
        # File names that are no valid text become readable with "?" rather than an error.
        partial.write_text(text, "utf-8", errors="replace")
    with written_whole(beside) as partial:
        partial.write_text(json.dumps(_finite(content), indent=1, allow_nan=False) + "\n")
    return [path, beside]


def _finite(value: Any) -> Any:
    """JSON has no NaN; named tuples become objects."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if hasattr(value, "_asdict"):
        return _finite(value._asdict())
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value
