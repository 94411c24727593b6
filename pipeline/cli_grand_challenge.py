"""The command `pipeline grand-challenge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.console import console

if TYPE_CHECKING:
    from pipeline.clinical_information import ReadInformation


def grand_challenge(
    input_path: Annotated[
        Path, typer.Option("--input", help="Folder that holds images/venous-ct/ with one CT.")
    ] = Path("/input"),
    output: Annotated[
        Path, typer.Option("--output", help="Folder for images/pdac-detection-map/ and pdac-likelihood.json.")
    ] = Path("/output"),
    bundle: Annotated[
        Path | None, typer.Option(help="Model bundle. Default: the demonstration model that comes with the package.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    tta: Annotated[bool, typer.Option("--tta/--no-tta", help="Average over mirrored images: slower.")] = False,
    record: Annotated[
        Path | None,
        typer.Option(help="JSON file for all that is known of the case, clinical information included. Default: none."),
    ] = None,
) -> None:
    """Answers one case in the folders of grand-challenge.org's PANORAMA: a CT in, a detection map and a likelihood out.

    Makes no network call. Exit code: 0 done, 1 the CT cannot be used, 2 the request was wrong; then neither file is
    there.
    """
    from pipeline.api import load_bundle
    from pipeline.grand_challenge import LIKELIHOOD_FILE, MAP_FILE, answer, prepare_output, read_input

    out = console()
    challenge = read_input(input_path)  # whatever is wrong with the request is said before anything is made
    prepare_output(output)
    loaded = load_bundle(bundle, device=device, tta=tta, segmentations=False)
    manifest = loaded.bundle.manifest
    say = [f"case {challenge.case.case_id}, bundle {manifest.name} {manifest.version}, {loaded.execution}"]
    if loaded.bundle.notice:
        say.append(f"Warning: {loaded.bundle.notice}.")
    say += _about(challenge.clinical)
    for line in say:
        out.print(line, markup=False, soft_wrap=True)
    done = answer(challenge, loaded, output, record_file=record)
    flags = f", flags: {', '.join(done.flags)}" if done.flags else ""
    out.print(
        f"likelihood {done.score:.4f}, {len(done.candidates)} lesion candidates{flags}, {done.total_seconds:.1f} s",
        markup=False,
        soft_wrap=True,
    )
    for file in (MAP_FILE, LIKELIHOOD_FILE):
        out.print(str(output / file), markup=False, soft_wrap=True)


def _about(clinical: ReadInformation | None) -> list[str]:
    """Returns what is to be said of the clinical information; its values stay out of logs."""
    if clinical is None:
        return ["Clinical information: none"]
    lines = [f"Clinical information: {', '.join(clinical.information.given) or 'all null'}; no model uses it yet"]
    if clinical.unknown:
        lines.append(f"Warning: unknown clinical fields are left out: {', '.join(clinical.unknown)}")
    return lines
