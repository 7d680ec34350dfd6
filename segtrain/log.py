"""What a training leaves to look at: TensorBoard events and a log of one JSON object a line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from phasegen.contact_sheet import colour
from phasegen.files import written_whole
from segtrain.config import CLASSES, Training
from segtrain.report import stretch

NAME = "log.jsonl"


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
        self.latest = 0.0
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
        self.latest = score
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

    def picture(
        self,
        step: int,
        image: NDArray[np.float32],
        truth: NDArray[Any],
        predicted: NDArray[Any],
        response: NDArray[np.float32],
    ) -> None:
        """Image, truth and prediction side by side, and the precision-recall curve of classes.

        Of a volume, the middle plane is shown.
        """
        if truth.ndim == 3:
            plane = len(truth) // 2
            image, response = image[:, plane], response[:, plane]
            truth, predicted = truth[plane], predicted[plane]
        grey = np.repeat(stretch(image[0])[..., None], 3, axis=-1)
        shown = [grey, colour(truth.astype(np.uint8)), colour(predicted.astype(np.uint8))]
        row = np.concatenate(shown, axis=1)
        self.board.add_image(self.phase, row, self.before + step, dataformats="HWC")
        if self.config.target == CLASSES:
            self.board.add_pr_curve(
                f"{self.phase}/foreground", truth > 0, 1 - response[0], self.before + step
            )

    def close(self) -> None:
        """Write everything, the settings with the last score for comparison of runs included."""
        settings = {
            name: value if isinstance(value, int | float | bool | str) else str(value)
            for name, value in self.config.model_dump(mode="json").items()
        }
        self.board.add_hparams(settings, {f"final/{self.score}": self.latest}, run_name=".")
        self.board.close()
