"""MLflow has what TensorBoard has, once, also after an interruption; without a network, and never against training."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ctcore.errors import RequestError
from ctcore.nnunet.training import epochs, mlflow_run
from ctcore.nnunet.training.mlflow_run import MlflowRun, check_mlflow
from tests.ctcore.nnunet.tiny_training import make_workspace, shown, train_tiny

WITHOUT_NETWORK = """
import json, math, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print("network:", event, arguments, file=sys.stderr)
        sys.stderr.flush()
        import os
        os._exit(9)
sys.addaudithook(refuse)
from pathlib import Path
from ctcore.errors import RequestError
from ctcore.nnunet.environment import quiet_mlflow
from ctcore.nnunet.training.mlflow_run import MlflowRun
root = Path(sys.argv[1])
fold, place = root / "fold_0", str(root / "tracking")
fold.mkdir()
def begin(epoch, place=place):
    parameters = {"epochs": 5, "spacing_mm": [1.0, 2.0]}
    return MlflowRun(place, fold, epoch, experiment="Dataset demo", name="fold 0", parameters=parameters)
first = begin(0)
for epoch in range(3):  # epoch 2 was written, but the checkpoint is of epoch 1
    first.add(epoch, {"dice/mean": epoch / 8, "dice/absent": math.nan, "dice/bile:duct": 1.0, "seconds_an_epoch": 1.0})
first.close(finished=False)
second = begin(2)
for epoch in (2, 3):
    second.add(epoch, {"dice/mean": 0.5, "seconds_an_epoch": 1.0})
second.close(finished=True)
other = begin(0)
other.close(finished=False)
with quiet_mlflow():
    from mlflow import MlflowClient
    client = MlflowClient(tracking_uri=f"sqlite:///{root / 'tracking' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("Dataset demo")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    history = [(m.step, m.value) for m in client.get_metric_history(runs[0].info.run_id, "dice/mean")]
    run = runs[0]
print(json.dumps({
    "runs": [(run.info.run_name, run.info.status) for run in runs],
    "history": sorted(history),
    "names": sorted(run.data.metrics),
    "params": run.data.params,
    "artifacts": experiment.artifact_location,
}))
try:
    begin(0, "ftp://nowhere")
except RequestError as error:
    print(error)
"""


def test_a_folder_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    command = [sys.executable, "-c", WITHOUT_NETWORK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told, refused = done.stdout.splitlines()
    found = json.loads(told)
    assert found["runs"] == [["fold 0", "FINISHED"], ["fold 0", "KILLED"]]
    assert found["history"] == [[0, 0.0], [1, 0.125], [2, 0.25], [3, 0.5]]
    assert found["names"] == ["dice/bile_duct", "dice/mean", "seconds_an_epoch"]
    assert found["params"] == {"epochs": "5", "spacing_mm": "[1.0, 2.0]"}
    assert found["artifacts"] == (tmp_path / "tracking" / "artifacts").as_uri()
    assert refused.startswith("MLflow cannot use 'ftp://nowhere': ")
    assert refused.endswith("give a folder or the URI of a server")


class Recorder:
    """Stands for a run of MLflow."""

    runs: list[Recorder] = []  # noqa: RUF012

    def __init__(self, place: str, folder: Path, epoch: int, **about: Any) -> None:
        self.place, self.epoch, self.about = place, epoch, about
        self.figures: dict[int, dict[str, float]] = {}
        self.finished: bool | None = None
        self.runs.append(self)

    def add(self, epoch: int, figures: dict[str, float]) -> None:
        self.figures[epoch] = dict(figures)

    def close(self, *, finished: bool) -> None:
        self.finished = finished


def test_a_training_writes_what_tensorboard_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_run, "check_mlflow", lambda: None)
    monkeypatch.setattr(epochs, "MlflowRun", Recorder)
    monkeypatch.setattr(Recorder, "runs", [])
    make_workspace(tmp_path)
    folder = train_tiny(tmp_path, {"epochs": 2}, mlflow="somewhere")
    (run,) = Recorder.runs
    assert (run.place, run.epoch, run.finished) == ("somewhere", 0, True)
    assert run.about["name"] == "fold 0"
    assert run.about["experiment"].endswith(" tiny")
    assert {"epochs": 2, "fold": 0, "device": "cpu"}.items() <= run.about["parameters"].items()
    assert sorted(run.figures) == [0, 1]
    for name in ("loss/train", "dice/mean"):
        assert dict(shown(folder, name)) == pytest.approx({n: figures[name] for n, figures in run.figures.items()})


def test_without_mlflow_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    make_workspace(tmp_path)
    with pytest.raises(RequestError, match=r"MLflow is not installed; run pip install '\.\[mlflow\]'"):
        train_tiny(tmp_path, mlflow="somewhere")
    assert not list(tmp_path.rglob("recipe.json"))
    with pytest.raises(RequestError):
        check_mlflow()


def test_a_store_that_fails_later_costs_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("mlflow")
    run = MlflowRun.__new__(MlflowRun)  # its store is not opened, which takes seconds
    run._failed, run._shown, run._run = False, -1, "r"

    class Gone:
        def log_batch(self, *_: Any, **__: Any) -> None:
            raise ConnectionError("the server is gone")

        set_terminated = log_batch

    monkeypatch.setattr(run, "_client", Gone(), raising=False)
    with caplog.at_level(logging.WARNING):
        for epoch in range(2):
            run.add(epoch, {"dice/mean": 0.5})
        run.close(finished=True)
    assert [record.message for record in caplog.records] == [
        "MLflow does not answer, the training goes on without it: the server is gone"
    ]


def test_no_password_is_kept() -> None:
    without = mlflow_run._without_password
    assert without("https://me:secret@server:5000/mlflow") == "https://server:5000/mlflow"
    assert without("sqlite:////data/a@b/mlflow.db") == "sqlite:////data/a@b/mlflow.db"
