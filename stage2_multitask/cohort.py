"""Many measured cases as arrays, and the figures that a training chooses its checkpoint by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcore.errors import RequestError
from ctcore.evaluation.class_figures import ClassTable, class_score_statistics, class_statistics
from ctcore.evaluation.figures import findings_of, segmentation_statistics
from ctcore.evaluation.statistics import lesions, roc
from ctcore.evaluation.statistics.statistic import Floats, Statistic, point, undefined
from ctcore.evaluation.tables import CaseRecord
from stage2_multitask.measure import MeasuredCase

HEAD, MAP, FUSED = "head", "map", "fused"
SOURCES = (HEAD, MAP, FUSED)
"""Where a score comes from: the classification head alone, the detection map's maximum alone, both."""


@dataclass(frozen=True, eq=False)
class Cohort:
    """Measured cases of one network, or of several that know the same classes.

    Attributes:
        cases: one at least.
        class_names: the classes, in the order of the logits.
        lesion_classes: those that stand for a lesion.
        lesion_label: name of the lesion among the segmentation's labels.
    """

    cases: tuple[MeasuredCase, ...]
    class_names: tuple[str, ...]
    lesion_classes: tuple[str, ...]
    lesion_label: str

    @classmethod
    def of(cls, cases: Sequence[MeasuredCase]) -> Cohort:
        """Gathers cases.

        Raises:
            RequestError: there are none, or they were measured with different classes.
        """
        if not cases:
            raise RequestError("no case was measured; there is nothing to summarise")
        first = cases[0]
        classes = tuple(first.probabilities)
        for case in cases:
            if (tuple(case.probabilities), case.lesion_classes) != (classes, first.lesion_classes):
                raise RequestError(
                    f"cases '{first.case_id}' and '{case.case_id}' were measured with different classes"
                    f" ({', '.join(classes)}; {', '.join(case.probabilities)}); summarise each by itself"
                )
        return cls(tuple(cases), classes, first.lesion_classes, first.lesion_label)

    @property
    def records(self) -> list[CaseRecord]:
        """The cases as `pipeline evaluate` has them of a run."""
        return [case.record for case in self.cases]

    @property
    def positive(self) -> npt.NDArray[np.bool_]:
        """(cases,) whether the class of each stands for a lesion."""
        return np.array([case.record.positive for case in self.cases], dtype=bool)

    @property
    def true(self) -> npt.NDArray[np.int64]:
        """(cases,) index of the true class."""
        return np.array([self.class_names.index(case.record.class_name) for case in self.cases], dtype=np.int64)

    @property
    def tells_presence(self) -> bool:
        """Whether there are classes without lesion, so that positive and negative cases can be told apart."""
        return len(self.lesion_classes) < len(self.class_names)

    def lesion_scores(self, source: str) -> Floats:
        """Returns the score (cases,) of a lesion: the lesion classes' probability, the map's maximum, or both fused."""
        of: dict[str, Callable[[MeasuredCase], float | None]] = {
            HEAD: lambda case: case.record.probability,
            MAP: lambda case: case.detection_max,
            FUSED: lambda case: case.record.score,
        }
        return np.array([of[source](case) for case in self.cases], dtype=np.float64)

    def class_scores(self, source: str) -> Floats | None:
        """Returns the score (cases, classes) of every class.

        The map knows lesion (d) and no lesion (1 - d): None where that does not name every class.
        """
        if source == MAP:
            if len(self.class_names) != 2 or not self.tells_presence:
                return None
            d = self.lesion_scores(MAP)
            columns = [d if name in self.lesion_classes else 1 - d for name in self.class_names]
            return np.stack(columns, axis=1)
        rows = [case.probabilities if source == HEAD else case.scores for case in self.cases]
        return np.array([[row[name] for name in self.class_names] for row in rows], dtype=np.float64)

    def class_table(self, source: str) -> ClassTable | None:
        """Returns true and predicted classes, the class of the highest score; None where there are no class scores."""
        scores = self.class_scores(source)
        return None if scores is None else ClassTable(self.class_names, self.true, scores.argmax(axis=1))

    def auroc(self, source: str) -> Statistic:
        """Returns the AUROC of a lesion; where every class has one, the mean over the classes against the rest."""
        if self.tells_presence:
            return roc.auroc(self.lesion_scores(source), self.positive)
        scores = self.class_scores(source)
        if scores is None:
            return undefined
        return class_score_statistics(scores, self.true, self.class_names)["one_vs_rest/auroc_macro"]

    def average_precision(self) -> Statistic:
        """Returns the lesion-level average precision of the detection maps."""
        return lesions.average_precision(findings_of(self.records)[0])


def cohort_figures(cases: Sequence[MeasuredCase]) -> dict[str, float | None]:
    """Returns what a training chooses its checkpoint by: point values, without intervals.

    Keys, and when they are None:

    - `auroc`, `auroc_class`, `auroc_map`: of the fused score, the head's probability and the map's maximum, for lesion
      against no lesion; None if all cases are of one kind. Where every class stands for a lesion: the mean over the
      classes of the AUROC against the rest; a class without cases, or without others, is left out, None if all are.
      `auroc_map` is then None, as the map says nothing of the class.
    - `ap`: lesion-level; None if no label map holds a lesion.
    - `ap_class`: mean over the classes of the average precision of the fused class score against the rest; classes
      without cases are left out.
    - `accuracy`, `balanced_accuracy`, `macro_f1`, of the fused score's class, and `accuracy_class`,
      `balanced_accuracy_class`, `macro_f1_class`, of the head's: never None. In `balanced_accuracy` a class without
      cases is left out, in `macro_f1` one that moreover no case is given.
    - `dice_LABEL` and `iou_LABEL` of every label: mean over the cases whose label map or segmentation holds it; None if
      there are none. `dice_lesion` and `iou_lesion` are the lesion's, whatever its label is called;
      `dice_lesion_where_present` counts only the cases whose label map holds a lesion.

    Args:
        cases: the measured cases.

    Raises:
        RequestError: there are none, or they were measured with different classes.
    """
    cohort = Cohort.of(cases)
    found: dict[str, Statistic] = {"auroc": cohort.auroc(FUSED), "ap": cohort.average_precision()}
    found |= {"auroc_class": cohort.auroc(HEAD), "auroc_map": cohort.auroc(MAP)}
    for source, suffix in ((FUSED, ""), (HEAD, "_class")):
        table, scores = cohort.class_table(source), cohort.class_scores(source)
        if table is None or scores is None:
            continue
        of_classes = class_statistics(table)
        for name in ("accuracy", "balanced_accuracy", "macro_f1"):
            found[name + suffix] = of_classes[name]
        if source == FUSED:
            of_scores = class_score_statistics(scores, cohort.true, cohort.class_names)
            found["ap_class"] = of_scores["one_vs_rest/average_precision_macro"]
    for name, statistic in segmentation_statistics(cohort.records).items():
        label, _, measure = name.partition("/")[2].rpartition("/")
        if not measure.endswith("_where_present"):
            found[f"{measure}_{label}"] = statistic
        if label == cohort.lesion_label:
            found[measure.replace("dice", "dice_lesion").replace("iou", "iou_lesion")] = statistic
    return {name: point(statistic, len(cohort.cases)) for name, statistic in found.items()}
