"""What a training leaves to look at: TensorBoard events and a log of one JSON object a line."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from phasegen.contact_sheet import colour
from phasegen.files import written_whole
from segtrain.config import CLASSES, Training
from segtrain.report import stretch

NAME = "log.jsonl"


class Shown(NamedTuple):
    """A held-out image or volume (C, [Z,] Y, X), its truth, what was found, and the response."""

    image: NDArray[np.float32]
    truth: NDArray[Any]
    predicted: NDArray[Any]
    response: NDArray[np.float32]

    def plane(self) -> "Shown":
        """An image as it is; of a volume, the middle plane."""
        if self.truth.ndim == 2:
            return self
        at = len(self.truth) // 2
        return Shown(self.image[:, at], self.truth[at], self.predicted[at], self.response[:, at])


class Log:
    """The log of one phase.

    Parameters
    ----------
    out : Path
        Folder of the run.
    config : Training
        Its configuration.
    phase : str
        Name of the phase.
    before, done : int
        Steps of the phases before it, and of this one. What an interrupted run logged after them
        is dropped, and logged again.
    """

    def __init__(self, out: Path, config: Training, phase: str, before: int, done: int) -> None:
        self.path, self.config, self.phase, self.before = out / NAME, config, phase, before
        self.board = SummaryWriter(str(out), purge_step=before + done + 1)
        self.losses: list[float] = []
        self.score = "validation IoU" if config.target == CLASSES else "validation PQ"
        if self.path.exists():
            lines = self.path.read_text().splitlines(keepends=True)
            # A killed process may have left half a line.
            whole = [line for line in lines if line.endswith("\n")]
            kept = [line for line in whole if json.loads(line)["step"] <= before + done]
            with written_whole(self.path) as partial:
                partial.write_text("".join(kept))

    def step(self, step: int, loss: float, rate: float) -> None:
        """One step of training."""
        self.losses.append(loss)
        self.board.add_scalar(f"{self.phase}/loss", loss, self.before + step)
        self.board.add_scalar(f"{self.phase}/learning rate", rate, self.before + step)

    def validation(self, step: int, score: float) -> None:
        """A validation: its score, with the mean loss since the last one."""
        self.board.add_scalar(f"{self.phase}/{self.score}", score, self.before + step)
        entry = {
            "phase": self.phase,
            "step": self.before + step,
            "loss": float(np.mean(self.losses)),
            self.score: score,
        }
        self.losses.clear()
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def picture(self, step: int, shown: Sequence[Shown]) -> None:
        """A row of image, truth and prediction for every image, and curves of precision and recall.

        The latter are of classes, one for each but the first, over all these images.
        """
        planes = [one.plane() for one in shown]
        rows = []
        for one in planes:
            grey = np.repeat(stretch(one.image[0])[..., None], 3, axis=-1)
            masks = [colour(mask.astype(np.uint8)) for mask in (one.truth, one.predicted)]
            rows.append(np.concatenate([grey, *masks], axis=1))
        width = max(row.shape[1] for row in rows)
        grid = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
        at = self.before + step
        self.board.add_image(self.phase, np.concatenate(grid), at, dataformats="HWC")
        if self.config.target != CLASSES:
            return
        truth = np.concatenate([one.truth.ravel() for one in planes])
        for label in range(1, len(planes[0].response)):
            chance = np.concatenate([one.response[label].ravel() for one in planes])
            self.board.add_pr_curve(f"{self.phase}/class {label}", truth == label, chance, at)

    def close(self) -> None:
        """Write everything, the settings with the best score for comparison of runs included."""
        settings = {
            name: value if isinstance(value, int | float | bool | str) else str(value)
            for name, value in self.config.model_dump(mode="json").items()
        }
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        # Those before an interruption as well.
        scores = [
            entry[self.score] for entry in map(json.loads, lines) if entry["phase"] == self.phase
        ]
        best = max(scores, default=0.0)
        self.board.add_hparams(settings, {f"best/{self.score}": best}, run_name=".")
        self.board.close()
