"""What a trained nnU-Net's plans and dataset say of its network; plans of all of nnU-Net v2's versions."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from ctcore.errors import RequestError, describe_validation, first_line
from ctcore.nnunet.exported import Normalization
from ctcore.nnunet.processing import NnunetProcessing, Resampling

UNETS = ("PlainConvUNet", "ResidualEncoderUNet")
"""Networks that can be imported, by the last part of their class's name."""

READERS = ("SimpleITKIO", "NibabelIO")
"""nnU-Net's readers that leave the axes as stored."""

CT_SCHEME = "CTNormalization"


class Plan:
    """A trained configuration of an nnU-Net.

    Args:
        plans: content of `plans.json`; it is not changed.
        dataset: content of `dataset.json`.
        configuration: name of the configuration.
        place: the folder, for messages.

    Raises:
        RequestError: something in them is missing, unknown, or cannot be run on one CT.
    """

    def __init__(self, plans: Mapping[str, Any], dataset: Mapping[str, Any], configuration: str, place: object) -> None:
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        self._dataset, self._place = dataset, place
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.filterwarnings("ignore", message="Detected old nnU-Net plans format")
                self._plans = PlansManager(deepcopy(dict(plans)))
                self._configuration = self._plans.get_configuration(configuration)
                self._labels = self._plans.get_label_manager(dict(dataset))
                self._check_input()
                _ = self.architecture, self.patch_size, self.spacing_mm, self.normalization, self.processing
        except KeyError as error:
            raise RequestError(
                f"'{place}': its plans or dataset lack {error}; give a trained nnU-Net v2 folder"
            ) from error
        except (
            ArithmeticError,
            AssertionError,
            AttributeError,
            IndexError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            raise RequestError(f"'{place}': its plans or dataset cannot be used ({first_line(error)})") from error

    @property
    def architecture(self) -> dict[str, Any]:
        """nnU-Net's description of the network.

        Raises:
            RequestError: it is none of `UNETS`.
        """
        described = self._configuration.configuration["architecture"]
        name = str(described.get("network_class_name"))
        if name.rpartition(".")[2] not in UNETS:
            raise RequestError(
                f"'{self._place}': architecture '{name}' is unknown; those of {' and '.join(UNETS)} can be imported"
            )
        unet = f"dynamic_network_architectures.architectures.unet.{name.rpartition('.')[2]}"  # moved between versions
        return {**described, "network_class_name": unet}

    @property
    def patch_size(self) -> tuple[int, ...]:
        """Voxels ([z,] y, x) of a window, in the network's order of axes."""
        return tuple(int(n) for n in self._configuration.patch_size)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Spacing that the network was trained at, in its order of axes; the median one across slices that it keeps."""
        spacing = [float(s) for s in self._configuration.spacing]
        if len(spacing) == 2:
            spacing = [float(self._plans.original_median_spacing_after_transp[0]), *spacing]
        return spacing[0], spacing[1], spacing[2]

    @property
    def normalization(self) -> Normalization:
        """The CT normalisation."""
        properties = self._plans.foreground_intensity_properties_per_channel["0"]
        return Normalization(
            lower=properties["percentile_00_5"],
            upper=properties["percentile_99_5"],
            mean=properties["mean"],
            std=properties["std"],
        )

    @property
    def processing(self) -> NnunetProcessing:
        """How nnU-Net resamples for this network.

        Raises:
            RequestError: by a function that is not known here.
        """
        configuration = self._configuration.configuration
        try:
            image, logits = (
                Resampling(
                    function=configuration[f"resampling_fn_{what}"],
                    arguments=configuration[f"resampling_fn_{what}_kwargs"],
                )
                for what in ("data", "probabilities")
            )
            return NnunetProcessing(
                transpose=tuple(self._plans.transpose_forward),
                image=image,
                logits=logits,
                keeps_slices=len(self._configuration.spacing) == 2,
            )
        except ValidationError as error:
            raise RequestError(f"'{self._place}': its plans cannot be run: {describe_validation(error)}") from error

    @property
    def labels(self) -> dict[str, int]:
        """Label values by name, as a segmentation holds them."""
        if not self.regions:
            named: Mapping[str, Any] = self._dataset["labels"]
            return {name: _value(label) for name, label in named.items() if name != "ignore"}
        order = self._labels.regions_class_order
        return {"background": 0} | {name: int(value) for name, value in zip(self.regions, order, strict=True)}

    @property
    def regions(self) -> tuple[str, ...]:
        """Names of the regions in the order of the network's outputs; empty where it was trained on labels."""
        if not self._labels.has_regions:
            return ()
        return tuple(
            name
            for name, values in self._dataset["labels"].items()
            if name != "ignore" and set(values if isinstance(values, list | tuple) else [values]) != {0}
        )

    def _check_input(self) -> None:
        """Refuses what does not take one CT as stored."""
        configuration = self._configuration.configuration
        channels = self._dataset.get("channel_names") or self._dataset.get("modality") or {}
        if len(channels) != 1:
            raise RequestError(f"'{self._place}' was trained on {len(channels)} channels; a CT has one")
        if configuration.get("previous_stage"):
            raise RequestError(f"'{self._place}' is the second step of a cascade; import a configuration by itself")
        schemes = configuration["normalization_schemes"]
        if list(schemes) != [CT_SCHEME]:
            raise RequestError(f"'{self._place}' normalises by {', '.join(schemes)}; {CT_SCHEME} can be run")
        reader = self._plans.plans["image_reader_writer"]
        if reader not in READERS:
            raise RequestError(
                f"'{self._place}' reads images by {reader}, which may turn them; {' and '.join(READERS)} can be run"
            )
        values = self.labels.values()
        if not self.regions and sorted(values) != list(range(len(values))):
            raise RequestError(f"'{self._place}' has the labels {sorted(values)}; nnU-Net's are 0, 1, 2, ...")


def _value(label: Any) -> int:
    """Returns a label's value; nnU-Net writes some as lists of one."""
    return int(label[0]) if isinstance(label, list | tuple) else int(label)


def only_configuration(plans: Mapping[str, Any], configuration: str) -> dict[str, Any]:
    """Returns plans with the configurations that one is made of, and no others."""
    configurations = plans["configurations"]
    kept, name = {}, configuration
    while name is not None and name not in kept:
        kept[name] = configurations[name]
        name = configurations[name].get("inherits_from")
    return {**plans, "configurations": kept}
