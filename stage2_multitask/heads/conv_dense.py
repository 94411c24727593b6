"""Two convolutions over the bottleneck, flattened into five linear layers.

Source: the slice-ensemble report: two convolutional layers (kernel 2, stride 1, batch normalisation, ReLU), flattening,
four fully connected layers (batch normalisation, ReLU, dropout 0.3, after the last 0.2), one for the classes, and batch
normalisation of its outputs. Widths are not reported: ours, in the settings.

Flattening ties the head to one size of the bottleneck, that of the training patch. Windows at inference have that size
always (smaller images are padded); any other is refused, not resampled, for the weights know positions.

Its fault: every slice counts the same, also those without pancreas; the weights of the windows (aggregation) and of
patches in the loss answer it. Normalised logits, whose spread over a batch is fixed whatever the batch holds, can be
switched off.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn

from stage2_multitask.heads.head import CONVOLUTIONS, SPATIAL, ClassificationHead

KERNEL = 2
"""Edge of the convolutions' kernel; without padding each makes every axis shorter by one."""

BATCH_NORMS: dict[int, type[nn.BatchNorm2d | nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class ConvDenseHead(ClassificationHead):
    """Convolutions, flattening, linear layers, each batch-normalised.

    Args:
        channels: channels of the bottleneck.
        classes: number of classes.
        bottleneck_size: size ([z,] y, x) of the bottleneck for a training patch.
        convolution_channels: of the convolutions.
        widths: of the hidden linear layers.
        dropouts: share that training drops after each hidden layer.
        normalize_logits: whether the class logits themselves are batch-normalised.

    Raises:
        ValueError: the bottleneck is too small for the convolutions.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        bottleneck_size: Sequence[int],
        convolution_channels: Sequence[int] = (256, 128),
        widths: Sequence[int] = (512, 256, 128, 64),
        dropouts: Sequence[float] = (0.3, 0.3, 0.3, 0.2),
        normalize_logits: bool = True,
    ) -> None:
        super().__init__()
        self.bottleneck_size = tuple(bottleneck_size)
        shortened = [n - len(convolution_channels) * (KERNEL - 1) for n in bottleneck_size]
        if min(shortened) < 1:
            raise ValueError(
                f"the bottleneck {self.bottleneck_size} of a training patch is too small for"
                f" {len(convolution_channels)} convolutions of kernel {KERNEL}; use a larger patch_size or fewer levels"
            )
        dims = len(self.bottleneck_size)
        sizes = [channels, *convolution_channels]
        layers: list[nn.Module] = []
        for size, following in itertools.pairwise(sizes):
            convolution = CONVOLUTIONS[dims](size, following, KERNEL, bias=False)
            layers += [convolution, BATCH_NORMS[dims](following), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        sizes = [sizes[-1] * math.prod(shortened), *widths]
        layers = []
        for size, following, dropout in zip(sizes[:-1], sizes[1:], dropouts, strict=True):
            linear = nn.Linear(size, following, bias=False)
            layers += [linear, nn.BatchNorm1d(following), nn.ReLU(), nn.Dropout(dropout)]
        layers.append(nn.Linear(sizes[-1], classes, bias=not normalize_logits))
        if normalize_logits:
            layers.append(nn.BatchNorm1d(classes))
        self.classify = nn.Sequential(*layers)

    def forward(
        self, features: Sequence[torch.Tensor], segmentation_logits: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Classifies; see `ClassificationHead`. Of the features the bottleneck is used.

        Raises:
            ValueError: the bottleneck has another size than a training patch's, or a batch of one is to train.
        """
        del segmentation_logits
        bottleneck = features[-1]
        if not cast(Any, torch.jit).is_tracing():  # where shapes are no numbers
            self._check(bottleneck)
        logits: torch.Tensor = self.classify(self.convolutions(bottleneck).flatten(1))
        return logits

    def _check(self, bottleneck: torch.Tensor) -> None:
        size = tuple(bottleneck.shape[SPATIAL:])
        if size != self.bottleneck_size:
            raise ValueError(
                f"a bottleneck of {size} does not fit the head's {self.bottleneck_size}; use its patch_size"
            )
        if self.training and len(bottleneck) == 1:
            raise ValueError("batch normalisation cannot train on a batch of 1; use a batch_size of 2 or more")
