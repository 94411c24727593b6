"""The command `pipeline run`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctcore.console import EXIT_INTERRUPTED, EXIT_SOME_FAILED
from ctcore.executor_options import Executor as ExecutorOption
from ctcore.executor_options import ExecutorChoice, RayAddress, RayCpus, RayGpus, ray_request
from pipeline.console import console, print_summary, run_progress

if TYPE_CHECKING:
    from rich.console import Console

    from ctcore.cts import FoundCts
    from ctcore.inference.backends.choose import Execution
    from ctcore.ray_cluster import RayRequest
    from pipeline.bundle import Bundle
    from pipeline.executors.work import Executor
    from pipeline.outputs import OutputFolder
    from pipeline.records import RunOptions


class BackendChoice(StrEnum):
    """Library that computes."""

    AUTO = "auto"
    TORCH = "torch"
    OPENVINO = "openvino"


class PrecisionChoice(StrEnum):
    """Arithmetic of the networks."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class WindowsChoice(StrEnum):
    """Where the windows of stage 2 lie."""

    GUIDED = "guided"
    EXACT = "exact"


class FormatChoice(StrEnum):
    """File format of the maps."""

    NIFTI = "nii.gz"
    METAIMAGE = "mha"


def run(
    input_text: Annotated[
        str,
        typer.Option(
            "--input",
            metavar="PATH|URL",
            help="A folder of CTs or DICOM series, a ZIP of such, or one CT; s3://BUCKET/FOLDER holds image files.",
            show_default=False,
        ),
    ],
    output_text: Annotated[
        str,
        typer.Option("--output", metavar="PATH|URL", help="Folder for all results, or s3://.", show_default=False),
    ],
    bundle: Annotated[
        Path | None, typer.Option(help="Model bundle. Default: the demonstration model that comes with the package.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    backend: Annotated[BackendChoice, typer.Option(help="Library that computes.")] = BackendChoice.AUTO,
    precision: Annotated[
        PrecisionChoice, typer.Option(help="Arithmetic of stage 2; the localizer computes in fp32.")
    ] = PrecisionChoice.AUTO,
    folds: Annotated[
        str | None, typer.Option(help="Models to average, for instance 0,2. Default: all in the bundle.")
    ] = None,
    tta: Annotated[bool, typer.Option("--tta/--no-tta", help="Average over mirrored images: slower.")] = False,
    windows: Annotated[
        WindowsChoice, typer.Option(help="Windows around the pancreas that was found, or nnU-Net's all over the ROI.")
    ] = WindowsChoice.GUIDED,
    early_exit: Annotated[
        bool,
        typer.Option(
            "--early-exit", help="Stop where the folds to come cannot change the decision; scores are means of folds'."
        ),
    ] = False,
    max_seconds: Annotated[
        float | None,
        typer.Option(min=0.1, help="Seconds a case may take; folds, --tta, windows are cut down to that."),
    ] = None,
    max_ram: Annotated[
        str | None, typer.Option(help="Memory that the process may use, as in 4G; windows are cut down to that.")
    ] = None,
    executor: ExecutorOption = ExecutorChoice.LOCAL,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that compute, each with its own networks and share of the cores. Default: 1; with ray, all"
            " that the cluster has room for.",
        ),
    ] = None,
    ray_address: RayAddress = None,
    ray_cpus: RayCpus = 1,
    ray_gpus: RayGpus = 0.0,
    shard: Annotated[
        str | None,
        typer.Option(help="A share of the cases, as in 2/8; 'pipeline merge' joins the outputs. Default: all."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Compute finished cases again.")] = False,
    image_format: Annotated[FormatChoice, typer.Option("--format", help="Format of the maps.")] = FormatChoice.NIFTI,
    segmentations: Annotated[
        bool, typer.Option("--segmentations/--no-segmentations", help="Make segmentations beside the detection maps.")
    ] = True,
    evidence: Annotated[
        bool,
        typer.Option(
            "--evidence", help="Map what the classifier draws a lesion from: slower, gradients of PyTorch in float32."
        ),
    ] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Make report/index.html.")] = True,
    case_id_tag: Annotated[
        str | None,
        typer.Option(
            help="DICOM tag that names cases, as in AccessionNumber. Default: a digest that identifies nobody."
        ),
    ] = None,
    dicom_output: Annotated[
        bool, typer.Option("--dicom-output", help="Make a DICOM SEG and a structured report of each DICOM series.")
    ] = False,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bytes every time: one thread, no times in the results.")
    ] = False,
) -> None:
    """Scores every CT of a folder and maps its lesions.

    Leaves results.csv, run.json, cases/, detection_maps/, segmentations/ and report/index.html. Finished cases are kept
    when the command is run again, after a kill too. Exit code: 0 all done, 1 some cases failed, 2 the request was
    wrong, 130 stopped by Ctrl-C or SIGTERM.
    """
    from ctcore.cts import find_cts
    from ctcore.inference.backends.choose import resolve
    from ctcore.object_store import place_of
    from pipeline.log import log_to
    from pipeline.memory import parse_size
    from pipeline.records import RunOptions
    from pipeline.run import check_options, run_cohort
    from pipeline.shards import Shard
    from pipeline.stages import load_stages
    from pipeline.stored_output import opened_output

    options = RunOptions(
        folds=parse_folds(folds),
        tta=tta,
        windows=windows.value,
        early_exit=early_exit,
        max_seconds=max_seconds,
        max_ram=None if max_ram is None else parse_size(max_ram),
        format=image_format.value,
        segmentations=segmentations,
        evidence=evidence,
        case_id_tag=case_id_tag,
        dicom_output=dicom_output,
        deterministic=deterministic,
        overwrite=overwrite,
        report=report,
    )
    places = _places(ray_request(executor, ray_address, ray_cpus, ray_gpus, workers), device, workers)
    share = None if shard is None else Shard.parse(shard)
    source, target = place_of(input_text), place_of(output_text)
    found = find_cts(source, options.case_id_tag)  # whatever is wrong with the request is said before anything is made
    chosen = _bundle(bundle)
    check_options(options, chosen)
    execution = places.settle(partial(resolve, device, backend.value, precision.value, deterministic=deterministic))
    with opened_output(target, options.format) as folder:
        out = console()
        _say_series(out, found)
        _say_what(out, len(found.cases if share is None else share.part(found)[0].cases), chosen, str(execution))
        try:
            with log_to(folder.log_path), run_progress(out) as observer:
                summary = run_cohort(
                    source,
                    folder,
                    chosen,
                    execution,
                    options,
                    load=partial(
                        load_stages,
                        chosen,
                        execution,
                        folds=options.folds,
                        tta=options.tta,
                        windows=options.windows,
                        segmentations=options.segmentations,
                        evidence=options.evidence,
                    ),
                    observer=observer,
                    found=found,
                    executor=places.executor,
                    shard=share,
                )
        except KeyboardInterrupt as error:
            out.print("Stopped. What is written is whole; the same command goes on with the rest.")
            raise typer.Exit(EXIT_INTERRUPTED) from error
    print_summary(out, summary)
    _say_where(out, folder, options, failed=bool(summary.failed))
    _warn(out, chosen)
    if summary.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


@dataclass(frozen=True)
class _Places:
    """What computes the cases, and what settles device, backend and precision there by a function that settles them."""

    executor: Executor
    settle: Callable[[Callable[[], Execution]], Execution]


def _places(request: RayRequest | None, device: str, workers: int | None) -> _Places:
    """Returns what computes the cases."""
    if request is not None:
        from pipeline.executors.ray_actors import on_ray, resolve_there

        return _Places(partial(on_ray, request=request), partial(resolve_there, request=request))
    if workers is None or workers == 1:
        from pipeline.executors.work import in_this_process

        return _Places(in_this_process, lambda resolve: resolve())
    from pipeline.executors.processes import in_processes, shared

    compute = partial(in_processes, workers=workers, every_gpu=device in ("auto", "cuda"))
    return _Places(compute, lambda resolve: shared(resolve(), workers))


def parse_folds(text: str | None) -> tuple[str, ...] | None:
    """Returns the folds in a text such as `0,2`; None for all.

    Raises:
        RequestError: it is no list of folds.
    """
    from ctcore.errors import RequestError

    if text is None:
        return None
    folds = tuple(part.strip() for part in text.split(","))
    if not all(part.isalnum() for part in folds):
        raise RequestError(f"folds '{text}' is not a list of folds; write for instance --folds 0,2")
    return folds


def _bundle(path: Path | None) -> Bundle:
    from pipeline.bundle import DEMO_BUNDLE, load_bundle

    return load_bundle(path if path is not None else DEMO_BUNDLE)


def _say_series(out: Console, found: FoundCts) -> None:
    """Shows the DICOM series that were found, where there are any."""
    if found.series or found.unreadable:
        from pipeline.console import print_series
        from pipeline.dicom_series import descriptions, series_records

        print_series(out, series_records(found), descriptions(found), found.unreadable)


def _say_what(out: Console, cases: int, bundle: Bundle, execution: str) -> None:
    """Tells what is about to run."""
    counted = "1 case" if cases == 1 else f"{cases} cases"
    out.print(
        f"{counted}, bundle {bundle.manifest.name} {bundle.manifest.version}, {execution}", markup=False, soft_wrap=True
    )
    _warn(out, bundle)


def _warn(out: Console, bundle: Bundle) -> None:
    """Says what the model is not."""
    if bundle.notice:
        out.print(f"Warning: {bundle.notice}.", style="bold yellow", markup=False, soft_wrap=True)


def _say_where(out: Console, folder: OutputFolder, options: RunOptions, *, failed: bool) -> None:
    """Tells where to look."""
    places = [("Results", folder.results_path), ("Detection maps", folder.maps_folders[0])]
    if options.evidence:
        places.append(("Evidence", folder.evidence_folder))
    if options.dicom_output:
        places.append(("DICOM", folder.folder / "dicom"))
    if options.report:
        places.append(("Report", folder.index_path))
    if failed:
        places.append(("Log of the failures", folder.log_path))
    for what, path in places:
        out.print(f"{what}: {folder.shown(path)}", markup=False, soft_wrap=True)
