"""The multi-task network: nnU-Net's own encoder and decoder, and a classification head on the encoder's features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from ctcore.nnunet.networks import build_unet, stem_of, to_image
from stage2_multitask.heads.encoder_levels import EncoderLevels
from stage2_multitask.heads.head import SPATIAL, ClassificationHead
from stage2_multitask.heads.make import make_head
from stage2_multitask.heads.region_labels import regions_of
from stage2_multitask.heads.settings import HeadSettings
from stage2_multitask.model import MultiTaskModel


class MultiTaskOutput(NamedTuple):
    """What the network says of a batch.

    Attributes:
        segmentation: logits (b, k, z, y, x); under deep supervision a list from fine to coarse, behind a strided stem
            on its grid.
        classes: logits (b, n).
        features: pooled features (b, d); see `pooled_features`.

    What was not asked for is None.
    """

    segmentation: Any
    classes: Any
    features: Any = None


class MultiTaskNetwork(nn.Module):
    """One encoder, a segmentation decoder, a classification head; the encoder runs once.

    Args:
        unet: an nnU-Net network with `encoder` and `decoder`.
        head: maps the encoder's features, and perhaps the segmentation, to class logits.
        describe: whether pooled features are given, too.
    """

    def __init__(self, unet: nn.Module, head: ClassificationHead, *, describe: bool = False) -> None:
        super().__init__()
        self.encoder: nn.Module = unet.get_submodule("encoder")
        self.decoder: nn.Module = unet.get_submodule("decoder")
        self.head: ClassificationHead = head
        self._stem = stem_of(unet)
        self._describe = describe

    def forward(self, images: torch.Tensor, segment: bool = True, classify: bool = True) -> MultiTaskOutput:
        """Segments and classifies images (b, c, [z,] y, x), or does one of the two.

        A head that looks at the segmentation has the decoder run for it; no gradient goes back that way.
        """
        features: Sequence[torch.Tensor] = self.encoder(images)
        decoded: Any = self.decoder(features) if segment else None
        segmentation = to_image(decoded, self._stem) if segment else None
        described = pooled_features(features) if self._describe else None
        if not classify:
            return MultiTaskOutput(segmentation, None, described)
        seen = decoded
        if seen is None and self.head.uses_segmentation:
            with torch.no_grad():
                seen = self.decoder(features)
        finest = seen[0] if isinstance(seen, list | tuple) else seen
        return MultiTaskOutput(segmentation, self.head(features, finest), described)


class DescribedUNet(nn.Module):
    """An nnU-Net network by itself, which gives pooled features beside its segmentation.

    Args:
        unet: with `encoder` and `decoder`.
    """

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.encoder: nn.Module = unet.get_submodule("encoder")
        self.decoder: nn.Module = unet.get_submodule("decoder")
        self._stem = stem_of(unet)

    def forward(self, images: torch.Tensor) -> MultiTaskOutput:
        """Segments images (b, c, [z,] y, x)."""
        features: Sequence[torch.Tensor] = self.encoder(images)
        return MultiTaskOutput(to_image(self.decoder(features), self._stem), None, pooled_features(features))


def pooled_features(levels: Sequence[torch.Tensor]) -> torch.Tensor:
    """Returns what an encoder makes of images in short (b, d): mean and maximum of each channel of its coarsest level.

    After instance normalisation a channel's mean tells only how its values are spread; its maximum tells more of that.

    Args:
        levels: all encoder levels, fine to coarse, each (b, c, [z,] y, x).
    """
    coarsest = levels[-1]
    space = tuple(range(SPATIAL, coarsest.dim()))
    return torch.cat([coarsest.mean(space), coarsest.amax(space)], dim=1)


def build_network(
    architecture: Mapping[str, Any],
    patch_size: Sequence[int],
    labels: Mapping[str, int],
    lesions: Sequence[str],
    classes: int,
    head: HeadSettings,
    *,
    deep_supervision: bool = False,
    describe: bool = False,
) -> MultiTaskNetwork:
    """Builds the network of a recipe or an exported model.

    Args:
        architecture: nnU-Net's description of the U-Net.
        patch_size: voxels ([z,] y, x) that training sees at once; a depth of 1 makes it 2-D.
        labels: segmentation labels by value; `background` is 0.
        lesions: names of the labels that are lesion.
        classes: number of classes.
        head: the head's settings.
        deep_supervision: whether the decoder answers at every level.
        describe: whether it gives pooled features, too.

    Raises:
        RecipeError: the head does not fit the encoder, the patch or the labels.
    """
    unet = build_unet(architecture, 1, max(labels.values()) + 1, deep_supervision=deep_supervision)
    size = patch_size[1:] if tuple(patch_size[:-2]) == (1,) else patch_size
    levels = EncoderLevels.of_architecture(architecture, size)
    made = make_head(head, levels, classes, regions_of(labels, lesions))
    return MultiTaskNetwork(unet, made, describe=describe)


def exported_network(model: MultiTaskModel) -> nn.Module:
    """Builds the network of an exported model, which gives pooled features beside its logits."""
    if model.head is None:
        return DescribedUNet(build_unet(model.architecture, 1, model.output_channels))
    return build_network(
        model.architecture,
        model.patch_size,
        model.labels,
        model.lesions,
        len(model.class_names),
        model.head,
        describe=True,
    )
