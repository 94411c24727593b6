"""A fold's training as a run of MLflow, an optional extra: parameters, and the curves that TensorBoard has."""

from __future__ import annotations

import importlib.util
import logging
import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ctcore.errors import RequestError, first_line
from ctcore.json_files import read_json, write_json
from ctcore.nnunet.environment import quiet_mlflow
from ctcore.nnunet.training.fold_files import MLFLOW_NAME

DATABASE = "mlflow.db"
"""What a folder holds: MLflow's own folders of text files are no longer maintained."""
ARTIFACTS = "artifacts"

LAST_METRIC = "seconds_an_epoch"
"""A curve that every epoch has; by it a run is known that was interrupted."""

_FORBIDDEN = re.compile(r"[^\w\-./ ]")

logger = logging.getLogger(__name__)


def check_mlflow() -> None:
    """Refuses MLflow where it is not installed.

    Raises:
        RequestError: it is not.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise RequestError("MLflow is not installed; run pip install '.[mlflow]', or leave --mlflow out")


class MlflowRun:
    """Writes a fold's parameters and curves to MLflow; a resumed training continues its run.

    A store that cannot be reached at the start is refused. One that fails later costs a warning, not the training.

    Args:
        place: a folder, or the URI of a server or database (with `://`).
        folder: the fold's folder, which remembers the run.
        epoch: the epoch (counted from 0) that the training begins with.
        experiment: name of the experiment: what is compared.
        name: name of the run in it.
        parameters: of the training.

    Raises:
        RequestError: MLflow is not installed, or the place cannot be used.
    """

    def __init__(
        self, place: str, folder: Path, epoch: int, *, experiment: str, name: str, parameters: Mapping[str, Any]
    ) -> None:
        check_mlflow()
        self._memory, self._failed = folder / MLFLOW_NAME, False
        with quiet_mlflow():
            from mlflow import MlflowClient

            try:
                uri, artifacts = _store(place)
                self._client = MlflowClient(tracking_uri=uri)
                earlier = self._earlier(uri) if epoch else None
                self._run = earlier or self._new(uri, artifacts, experiment, name, parameters)
                self._client.update_run(self._run, status="RUNNING")
                self._shown = max((m.step for m in self._client.get_metric_history(self._run, LAST_METRIC)), default=-1)
            except Exception as error:  # whatever MLflow or a server may raise
                raise RequestError(
                    f"MLflow cannot use '{place}': {first_line(error)}; give a folder or the URI of a server"
                ) from error

    def add(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Adds an epoch's figures; NaN is left out, and an epoch repeated after an interruption is shown once."""
        from mlflow.entities import Metric

        if epoch <= self._shown:
            return
        now = int(time.time() * 1000)
        metrics = [
            Metric(_FORBIDDEN.sub("_", name), value, now, epoch)
            for name, value in figures.items()
            if not math.isnan(value)
        ]
        self._try(lambda: self._client.log_batch(self._run, metrics=metrics))

    def close(self, *, finished: bool) -> None:
        """Ends writing; the run is finished, or may be continued."""
        self._try(lambda: self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED"))

    def _earlier(self, uri: str) -> str | None:
        """Returns the run that an interrupted training of the fold has begun in the same store."""
        if not self._memory.is_file():
            return None
        remembered = read_json(self._memory)
        return str(remembered["run"]) if remembered["uri"] == _without_password(uri) else None

    def _new(self, uri: str, artifacts: str | None, experiment: str, name: str, parameters: Mapping[str, Any]) -> str:
        from mlflow.entities import Param

        found = self._client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self._client.create_experiment(experiment, artifacts)
        run = str(self._client.create_run(number, run_name=name).info.run_id)
        self._client.log_batch(run, params=[Param(key, str(value)[:500]) for key, value in parameters.items()])
        write_json(self._memory, {"uri": _without_password(uri), "run": run})
        return run

    def _try(self, call: Callable[[], object]) -> None:
        try:
            with quiet_mlflow():
                call()
        except Exception as error:
            if not self._failed:
                self._failed = True
                logger.warning("MLflow does not answer, the training goes on without it: %s", first_line(error))


def _store(place: str) -> tuple[str, str | None]:
    """Returns the URI of the store, and where artifacts of new experiments go (None: where the store says)."""
    if "://" in place:
        return place, None
    folder = Path(place).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / DATABASE}", (folder / ARTIFACTS).as_uri()


def _without_password(uri: str) -> str:
    return re.sub(r"(?<=://)[^/]*@", "", uri)
