"""How well whoever knows the lesion tells subtypes apart: `python -m benchmarks.true_masks --anatomy DIR --output DIR`.

A random forest on what the study's networks see, Hounsfield units on their grid, but inside the true masks: a yardstick
for their macro-F1, as some lesions of different subtypes look alike. Uses and keeps the cohorts of the systems study.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from benchmarks.systems_recipes import Job
from benchmarks.systems_study import Part, Study, study_of
from benchmarks.systems_table import BOOTSTRAP, SEED, markdown, shown
from ctcore.evaluation.class_figures import ClassTable, class_score_statistics, class_statistics
from ctcore.evaluation.statistics.bootstrap import estimates
from ctcore.files import read
from ctcore.labels import SUBTYPE_NAMES
from ctcore.nnunet.preparation.dataset import TrainingCase
from stage2_multitask.labelled import crops_of

JOB = Job("subtypes", "gap", "true-masks")
"""Names the crops: the study's with pancreas and lesions alone."""
PANCREAS, LESIONS = 4, (1, 2, 3)
PERCENTILES = (0, 10, 25, 50, 75, 90, 100)
TREES, LEAST_LEAF = 500, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.true_masks", description=__doc__)
    _, study = study_of(parser, arguments)
    print(markdown([measure(study)]))
    return 0


def measure(study: Study) -> dict[str, str]:
    """Fits on the training cohort and returns the figures of the test cohort, with intervals."""
    from sklearn.ensemble import RandomForestClassifier

    (seen, seen_classes, _), (new, true, patients) = (_cohort(study, part) for part in ("train", "test"))
    forest = RandomForestClassifier(TREES, min_samples_leaf=LEAST_LEAF, random_state=SEED).fit(seen, seen_classes)
    scores = forest.predict_proba(new)
    table = ClassTable(SUBTYPE_NAMES, true, scores.argmax(axis=1))
    statistics = {
        "AUROC": class_score_statistics(scores, true, SUBTYPE_NAMES)["one_vs_rest/auroc_macro"],
        "macro-F1": class_statistics(table)["macro_f1"],
    }
    found = estimates(statistics, true, BOOTSTRAP, SEED, groups=patients)
    cells = {name: shown({"value": e.value, "ci95": e.ci95}) for name, e in found.items()}
    return {"system": "true masks and a random forest", **cells}


def _cohort(study: Study, part: Part) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], list[str]]:
    """Returns (cases, features), each case's class and its patient, of the cases whose crop holds a lesion."""
    features, classes, patients = [], [], []
    for case in crops_of(study.crops(JOB, part)):
        row = features_of(case)
        if row is not None and case.class_name is not None:
            features.append(row)
            classes.append(SUBTYPE_NAMES.index(case.class_name))
            patients.append(case.patient)
    return np.stack(features), np.array(classes), patients


def features_of(case: TrainingCase) -> npt.NDArray[np.float64] | None:
    """Returns a lesion's HU above the gland's median, their spread and its size; None without one."""
    image, label = read(case.image).array.astype(np.float64), read(case.label).array
    lesion = np.isin(label, LESIONS)
    if not lesion.any():
        return None
    gland = float(np.median(image[label == PANCREAS])) if (label == PANCREAS).any() else 0.0
    core = ndimage.binary_erosion(lesion)
    parts = [image[lesion], image[core] if core.any() else image[lesion]]
    looks = [[*np.percentile(hu - gland, PERCENTILES), hu.mean() - gland, hu.std()] for hu in parts]
    return np.array([*looks[0], *looks[1], np.log(lesion.sum()), gland])


if __name__ == "__main__":
    sys.exit(main())
