"""The commands `pipeline bundle import-nnunet` and `export-nnunet`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.console import console


class PresetChoice(StrEnum):
    """What is done around imported networks."""

    NONE = "none"
    PANORAMA = "panorama-baseline"
    PANDX = "pandx"


Checkpoint = Annotated[
    str | None,
    typer.Option(help="File in each fold's folder. Default: checkpoint_final.pth, else checkpoint_best."),
]


def import_nnunet(
    stage1: Annotated[
        Path, typer.Option(help="Trained nnU-Net v2 folder that segments the pancreas.", show_default=False)
    ],
    stage2: Annotated[Path, typer.Option(help="The one that segments the lesion.", show_default=False)],
    output: Annotated[Path, typer.Option(help="Folder to make.", show_default=False)],
    pancreas_label: Annotated[
        str | None, typer.Option(help="Stage 1's label. Default: pancreas, or its only foreground.")
    ] = None,
    lesion_label: Annotated[
        str | None, typer.Option(help="Stage 2's label. Default: the one named lesion, tumor or PDAC.")
    ] = None,
    preset: Annotated[
        PresetChoice, typer.Option(help="ROI, resampling and candidates of a published pipeline.")
    ] = PresetChoice.NONE,
    folds: Annotated[str | None, typer.Option(help="Folds of both, as in 0,2. Default: all there are.")] = None,
    stage1_checkpoint: Checkpoint = None,
    stage2_checkpoint: Checkpoint = None,
    name: Annotated[str | None, typer.Option(help="The bundle's name. Default: stage 2's dataset.")] = None,
    description: Annotated[str | None, typer.Option(help="One sentence on what it is.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
) -> None:
    """Makes a bundle of two models that nnU-Net trained; no code in their files is run."""
    from pipeline import import_nnunet as work
    from pipeline.cli_run import parse_folds

    chosen = parse_folds(folds)
    bundle = work.import_nnunet(
        work.NnunetFolder(stage1, chosen, stage1_checkpoint),
        work.NnunetFolder(stage2, chosen, stage2_checkpoint),
        output,
        name=name,
        description=description,
        pancreas_label=pancreas_label,
        lesion_label=lesion_label,
        preset=preset.value,
        overwrite=overwrite,
    )
    console().print(f"{bundle.folder}: {len(bundle.manifest.files)} files, {bundle.digest[:12]}", markup=False)


def export_nnunet(
    bundle: Annotated[Path, typer.Option(help="The bundle.", show_default=False)],
    output: Annotated[Path, typer.Option(help="Folder to make: stage1 and stage2 in it.", show_default=False)],
) -> None:
    """Writes a bundle's segmentation models as folders that nnunetv2 itself runs."""
    from pipeline.bundle import load_bundle
    from pipeline.export_nnunet import export_nnunet as export

    out = console()
    for line in export(load_bundle(bundle), output):
        out.print(line, markup=False, soft_wrap=True)
    out.print(
        f"{output / 'stage1'} and {output / 'stage2'}: give either to nnUNetv2_predict_from_modelfolder",
        markup=False,
        soft_wrap=True,
    )
