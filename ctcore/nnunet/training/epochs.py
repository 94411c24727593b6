"""The course of a training: epochs, log, curves, what each leaves behind, stopping early.

Every epoch begins with generators seeded by its number and ends with one file that holds all the state there is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ctcore.errors import OutputError, first_line
from ctcore.nnunet.training.checkpoint import write_weights
from ctcore.nnunet.training.course import TRAINING_CASES, VALIDATION_CASES, Course, CourseWriter
from ctcore.nnunet.training.curves import Curves
from ctcore.nnunet.training.distributed import rank_and_size
from ctcore.nnunet.training.early_stopping import epochs_without_improvement
from ctcore.nnunet.training.figures import curves_of, mean_dice, means, pseudo_dice
from ctcore.nnunet.training.fold_files import ALL, BEST_NAME, BEST_WEIGHTS_NAME, FINAL_NAME, LATEST_NAME
from ctcore.nnunet.training.mlflow_run import MlflowRun
from ctcore.nnunet.training.resumable import ResumableTrainer
from ctcore.nnunet.training.seeds import Purpose, seed_generators
from ctcore.nnunet.training.training_page import refresh_pages
from ctcore.versions import versions

Progress = Callable[[int, int, dict[str, float]], None]
"""Called after each epoch with epochs done, epochs in all, and the epoch's figures."""

logger = logging.getLogger(__name__)

PICTURE_SECONDS = 60.0
"""nnU-Net's picture takes two seconds: it is drawn at the end, and before that not more often than this."""


class EpochTrainer(ResumableTrainer):
    """A trainer that can be killed and continued, epoch by epoch; subclasses say what a step is.

    Attributes:
        progress: called after every epoch.
        curves: TensorBoard's curves; the leader's alone, while it trains.
        mlflow: where MLflow keeps the same and the parameters; None: it does not.
        mlflow_run: what writes them; the leader's alone, while it trains.
        course: the epochs in one file, and pages of it; the leader's alone, from the first epoch on.
        sources: what the cases come from, in words.
        phantoms: whether some are synthetic CTs.
    """

    progress: Progress | None = None
    curves: Curves | None = None
    mlflow: str | None = None
    mlflow_run: MlflowRun | None = None
    course: CourseWriter | None = None
    sources: str = ""
    phantoms: bool = False
    _picture_due: float = 0.0

    @property
    def criterion(self) -> str:
        """What `quality` is, in words."""
        return "smoothed pseudo-Dice"

    def first_decisive_epoch(self) -> int:
        """Returns the first epoch (counted from 0) that early stopping looks at."""
        return 0

    @property
    def patience(self) -> int | None:
        """Epochs without improvement after which the training ends early; None: it never does."""
        share = self.recipe.early_stopping_share
        return None if share is None else max(1, round(share * self.num_epochs))

    @property
    def stopped_early(self) -> bool:
        """Whether the smoothed pseudo-Dice has not improved for as long as the recipe waits."""
        patience = self.patience
        history = self.logger.get_value("ema_fg_dice", step=None)
        return (
            patience is not None
            and self.current_epoch < self.num_epochs
            and epochs_without_improvement(history, self.first_decisive_epoch()) >= patience
        )

    @property
    def finished(self) -> bool:
        """Whether no epoch is left to train."""
        return bool(self.current_epoch >= self.num_epochs) or self.stopped_early

    def run_training(self) -> None:
        """Trains from the current epoch to the end."""
        if not self.finished:
            try:
                self.on_train_start()
                self._picture_due = time.monotonic() + PICTURE_SECONDS
                while not self.finished:
                    self.run_epoch()
            except BaseException as error:
                self._tell_end(error)
                raise
            finally:
                self.close()
        self.on_train_end()

    def _tell_end(self, error: BaseException) -> None:
        """Writes on the pages why the training ends before its time; what hinders that must not hide the reason."""
        if self.course is None:
            return
        reason = "it was interrupted" if isinstance(error, KeyboardInterrupt) else first_line(error)
        try:
            self.course.end(reason)
        except OutputError as hindrance:
            logger.warning("the page of this training does not tell its end: %s", first_line(hindrance))
        refresh_pages(self.folder)

    def run_epoch(self) -> None:
        """Trains and validates one epoch."""
        seed_generators(Purpose.EPOCH, self.recipe.seed, self.local_rank, self.current_epoch)
        self.on_epoch_start()
        self.on_train_epoch_start()
        self.on_train_epoch_end(
            [self.train_step(next(self.dataloader_train)) for _ in range(self.num_iterations_per_epoch)]
        )
        with torch.no_grad():
            self.on_validation_epoch_start()
            self.on_validation_epoch_end(
                [self.validation_step(next(self.dataloader_val)) for _ in range(self.num_val_iterations_per_epoch)]
            )
        self.on_epoch_end()

    def on_train_start(self) -> None:
        """Makes the batches and begins the curves."""
        super().on_train_start()
        if self.is_leader:
            self.curves = Curves(self.folder, self.current_epoch)
            self.course = self._begin_course()
            refresh_pages(self.folder)
            if self.mlflow is not None:
                self.mlflow_run = self._begin_mlflow(self.mlflow)

    def _begin_course(self) -> CourseWriter:
        course = Course(
            recipe=self.recipe.name,
            fold=str(self.fold),
            epochs_at_most=self.num_epochs,
            criterion=self.criterion,
            phantoms=self.phantoms,
        )
        return CourseWriter(self.folder, course, self.current_epoch, self.facts())

    def facts(self) -> dict[str, str]:
        """Returns what this run trains on and with, by name."""
        training, validation = self.do_split()
        _, processes = rank_and_size()
        return {
            "dataset": self.plans_manager.dataset_name,
            "cases from": self.sources,
            TRAINING_CASES: str(len(training)),
            VALIDATION_CASES: "those of training" if self.fold == ALL else str(len(validation)),
            "device": str(self.device),
            "processes": str(processes),
            "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        }

    def _begin_mlflow(self, place: str) -> MlflowRun:
        dataset = self.plans_manager.dataset_name
        parameters = self.recipe.model_dump(mode="json") | {"dataset": dataset, "fold": self.fold}
        return MlflowRun(
            place,
            self.folder,
            self.current_epoch,
            experiment=f"{dataset} {self.recipe.name}",
            name=f"fold {self.fold}",
            parameters=parameters | {"device": str(self.device)},
        )

    def close(self) -> None:
        """Ends loader processes and curves."""
        for batches in (self.dataloader_train, self.dataloader_val):
            if batches is not None:
                batches.close()
        if self.curves is not None:
            self.curves.close()
        if self.mlflow_run is not None:
            self.mlflow_run.close(finished=self.finished)

    def on_epoch_start(self) -> None:
        """Begins an epoch's figures."""
        super().on_epoch_start()
        self.figures = {}

    def on_train_epoch_end(self, train_outputs: Sequence[dict[str, Any]]) -> None:
        """Logs the losses' means over the steps of all processes."""
        losses = means(train_outputs)
        self.logger.log("train_losses", losses.pop("loss"), self.current_epoch)
        self.figures |= {f"loss/train_{name}": value for name, value in losses.items()}

    def on_validation_epoch_end(self, val_outputs: Sequence[dict[str, Any]]) -> None:
        """Logs the losses' means and the pseudo-Dice of the validation patches of all processes."""
        losses = means(val_outputs)
        dice = pseudo_dice(val_outputs)
        smoothed = self.logger.get_value("ema_fg_dice", step=None)
        mean = mean_dice(dice, before=smoothed[-1] if smoothed else 0.0)
        self.logger.log("mean_fg_dice", mean, self.current_epoch)
        self.logger.log("dice_per_class_or_region", dice, self.current_epoch)
        self.logger.log("val_losses", losses.pop("loss"), self.current_epoch)
        self.figures |= {f"loss/validation_{name}": value for name, value in losses.items()}

    def on_epoch_end(self) -> None:
        """Logs, writes curves and checkpoints, and reports the epoch's figures."""
        epoch, logger = self.current_epoch, self.logger
        logger.log("epoch_end_timestamps", time.time(), epoch)
        further = self.extra_figures()
        quality = self.quality(further)
        is_best = quality is not None and (self._best_ema is None or quality > self._best_ema)
        if is_best:
            self._best_ema, self.best_epoch = quality, self.current_epoch
        if self.is_leader:
            self._log_epoch(is_best=is_best)
            self._write_epoch(epoch, further, is_best=is_best)
        self.current_epoch += 1
        if self.stopped_early:
            self.print_to_log_file(f"Stopped early: no better smoothed pseudo-Dice for {self.patience} epochs")
        if self.progress is not None:
            names = {"train": "train_losses", "val": "val_losses", "dice": "mean_fg_dice"}
            shown = {name: float(logger.get_value(key, step=-1)) for name, key in names.items()}
            self.progress(self.current_epoch, self.num_epochs, shown | further)

    def _log_epoch(self, *, is_best: bool) -> None:
        """Writes an epoch's figures to the log file, in nnU-Net's words."""

        def last(key: str) -> Any:
            return self.logger.get_value(key, step=-1)

        self.print_to_log_file("train_loss", round(last("train_losses"), 4))
        self.print_to_log_file("val_loss", round(last("val_losses"), 4))
        self.print_to_log_file("Pseudo dice", [round(dice, 4) for dice in last("dice_per_class_or_region")])
        if is_best:
            self.print_to_log_file(f"Best epoch so far: {round(self._best_ema or 0.0, 4)}")
        seconds = last("epoch_end_timestamps") - last("epoch_start_timestamps")
        self.print_to_log_file(f"Epoch time: {round(seconds, 2)} s")

    def _write_epoch(self, epoch: int, further: dict[str, float], *, is_best: bool) -> None:
        """Writes an epoch's files; the checkpoint to go on from comes last: killed before, the epoch is repeated."""
        labels = {value: name for name, value in self.dataset_json["labels"].items() if value in self._foreground()}
        shown = curves_of(self.logger, labels) | self.figures | further
        for curves in (self.curves, self.mlflow_run):
            if curves is not None:
                curves.add(epoch, shown)
        if self.course is not None:
            self.course.add(epoch, shown, (self.best_epoch, self._best_ema))
            refresh_pages(self.folder)
        if is_best:
            self.save_checkpoint(str(self.folder / BEST_NAME))
            write_weights(self.folder / BEST_WEIGHTS_NAME, self.trained_network())
        self.write_parts(further)
        if time.monotonic() >= self._picture_due:
            self.logger.plot_progress_png(self.output_folder)
            self._picture_due = time.monotonic() + PICTURE_SECONDS
        self.save_checkpoint(str(self.folder / LATEST_NAME))

    def write_parts(self, further: dict[str, float]) -> None:
        """Writes what a subclass keeps of an epoch beside the weights; `further` is what `extra_figures` gave."""

    def _foreground(self) -> Sequence[int]:
        values: Sequence[int] = self.label_manager.foreground_labels
        return values

    def extra_figures(self) -> dict[str, float]:
        """Returns further figures of the epoch that just ended, by the names of their curves."""
        return {}

    def quality(self, further: dict[str, float]) -> float | None:
        """Returns what makes an epoch better than another: the smoothed pseudo-Dice.

        Args:
            further: what `extra_figures` gave.

        Returns:
            None where the epoch cannot be the best.
        """
        del further
        return float(self.logger.get_value("ema_fg_dice", step=-1))

    def on_train_end(self) -> None:
        """Draws the whole course and gives the last checkpoint its final name."""
        latest = self.folder / LATEST_NAME
        if self.is_leader and latest.is_file():
            self.logger.plot_progress_png(self.output_folder)
            latest.replace(self.folder / FINAL_NAME)
        self.print_to_log_file("Training done.")

    def summary(self) -> dict[str, Any]:
        """Returns how the training went, for `training.json`."""
        return {
            "epochs": self.current_epoch,
            "epochs_at_most": self.num_epochs,
            "stopped_early": self.stopped_early,
            "best_epoch": self.best_epoch,
            "best_quality": self._best_ema,
            "last_smoothed_pseudo_dice": self.logger.get_value("ema_fg_dice", step=-1),
        }
