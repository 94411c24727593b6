"""What every classification head is: from encoder features, and perhaps segmentation logits, to class logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import nn

CONVOLUTIONS: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
"""Convolution by number of spatial dimensions."""

SPATIAL = 2
"""First spatial axis of a feature map (b, c, ...)."""


class ClassificationHead(nn.Module, ABC):
    """A small module on the encoder of a multi-task network, for 2-D and 3-D features alike.

    Attributes:
        uses_segmentation: whether `forward` needs the segmentation logits, so that the decoder must have run before.
    """

    uses_segmentation: bool = False

    @abstractmethod
    def forward(
        self, features: Sequence[torch.Tensor], segmentation_logits: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Classifies.

        Args:
            features: all encoder levels, fine to coarse, each (b, c, [z,] y, x).
            segmentation_logits: logits (b, k, [z,] y, x) on the first level's grid, background first. No gradient goes
                back through them: the class loss shall not redraw the segmentation.

        Returns:
            Class logits (b, n).

        Raises:
            ValueError: the head looks at the segmentation, and it was not given.
        """

    def needed(self, segmentation_logits: torch.Tensor | None) -> torch.Tensor:
        """Returns the segmentation logits of a head that cannot do without.

        Raises:
            ValueError: they were not given.
        """
        if segmentation_logits is None:
            raise ValueError(f"{type(self).__name__} looks at the segmentation; run the decoder first, pass its logits")
        return segmentation_logits
