"""What the classifier's answer rests on, on the page of a case: the map beside it, the folds, the evidence."""

from __future__ import annotations

from urllib.parse import quote

from ctcore.pages.pieces import bar, table, text
from pipeline.evidence_record import EvidenceRecord
from pipeline.records import FLAG_NO_EVIDENCE, FLAG_NO_PICTURE, CaseRecord
from pipeline.report.colours import DETECTION, EVIDENCE, PANCREAS

WHAT_IT_IS = (
    "Where the features of the network lie that make its classifier say {name} and no other class: their value times"
    " the gradient of the class's log-odds (HiResCAM). It tells what this model used, not what is ill, nor where a"
    " lesion ends: the features are coarse, and each sees its surroundings. Without a lesion it shows what little"
    " speaks for one. Colours are relative to the peak of this case."
)
CAPTION = (
    "Planes through the peak of the evidence, and the axial slices of the picture above with their height in LPS mm."
)


def agreement_html(record: CaseRecord) -> str:
    """Returns what classifier, detection map and folds say side by side; nothing where there is no classifier."""
    if record.fusion is None or "p_lesion" not in record.fusion.terms:
        return ""
    p, d = record.fusion.terms["p_lesion"], record.fusion.terms["detection_max"]
    limits = record.quality.limits.get("head_map_difference") if record.quality is not None else None
    usual = f", usually {limits}" if limits is not None else ""
    more = "the same" if p == d else "the classifier says more" if p > d else "the map says more"
    rows = [
        ("classifier: probability of a lesion", bar(p)),
        ("detection map: its maximum", bar(d)),
        ("apart by", text(f"{abs(p - d):.2f}{usual}: {more}")),
    ]
    cells = (f"<td>{text(name)}</td><td>{value}</td>" for name, value in rows)
    return table(("who", "says"), cells, "two answers to one question") + _folds(record)


def _folds(record: CaseRecord) -> str:
    """Returns what each fold says by itself, and how far they lie apart; nothing of fewer than two."""
    folds = record.fold_classes
    if len(folds) < 2:
        return ""
    names = list(folds[0])
    rows = [
        "".join((f"<td>{number}</td>", *(f"<td>{bar(fold[name])}</td>" for name in names)))
        for number, fold in enumerate(folds, start=1)
    ]
    values = {name: [fold[name] for fold in folds] for name in names}
    ranges = (f"<td>{min(v):.3f} to {max(v):.3f} (by {max(v) - min(v):.3f})</td>" for v in values.values())
    rows.append("".join(("<td>range</td>", *ranges)))
    caption = "what each fold says by itself, in the order in which they ran"
    return table(("fold", *(f"probability of {name}" for name in names)), rows, caption)


def evidence_html(record: CaseRecord) -> str:
    """Returns what the classifier draws its answer from; nothing where that was not asked for."""
    if FLAG_NO_EVIDENCE in record.flags:
        return '<p class="soft">The evidence could not be computed.</p>'
    if record.evidence is None:
        return ""
    words = f"<p>{text(WHAT_IT_IS.format(name=record.evidence.class_name))}</p>"
    return words + _picture(record) + _figures(record.evidence)


def _picture(record: CaseRecord) -> str:
    if FLAG_NO_PICTURE in record.flags:
        return '<p class="soft">The picture could not be drawn.</p>'
    source = text(f"../evidence/{quote(f'{record.case_id}.png')}")
    scale = f'<i style="width:60px;background:linear-gradient(90deg,{",".join(EVIDENCE)})"></i>evidence, 0 to 1'
    outlines = "".join(
        f'<i style="background:{colour}"></i>{name}'
        for colour, name in ((PANCREAS, "pancreas"), (DETECTION, "most confident candidate"))
    )
    return (
        f'<figure><img src="{source}" alt="the classifier&#x27;s evidence in {text(record.case_id)} in three planes and'
        f' slices"><figcaption>{CAPTION}<br><span class="legend">{scale}{outlines}</span></figcaption></figure>'
    )


def _figures(evidence: EvidenceRecord) -> str:
    """Returns where the evidence lies, beside how large these places are."""
    if evidence.peak_lps_mm is None:
        return f'<p class="soft">Nothing speaks for {text(evidence.class_name)}.</p>'
    rest = 1 - evidence.candidate_volume_share - evidence.pancreas_volume_share
    places = (
        ("in the most confident candidate", evidence.candidate_share, evidence.candidate_volume_share),
        ("in the rest of the pancreas", evidence.pancreas_share, evidence.pancreas_volume_share),
        ("elsewhere", evidence.elsewhere_share, rest),
    )
    rows = [f"<td>{name}</td><td>{bar(share)}</td><td>{bar(volume)}</td>" for name, share, volume in places]
    peak = ", ".join(f"{value:.0f}" for value in evidence.peak_lps_mm)
    caption = (
        f"log-odds of {evidence.class_name}: {evidence.supporting:.2f} speak for it, {evidence.opposing:.2f} against it"
        f" (biases aside); peak of {evidence.scale:.2f} a ml at LPS mm {peak}"
    )
    return table(("where", "share of what speaks for it", "share of the region's volume"), rows, caption)
