"""The settings of every classification head: what a recipe's `[head]` and a bundle's `model.json` hold."""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Width = Annotated[int, Field(ge=1, le=1 << 14)]
Repeated = Annotated[int, Field(ge=1, le=64)]
DropoutShare = Annotated[float, Field(ge=0, lt=1)]
RegionName: TypeAlias = Literal["lesion", "each lesion", "foreground"]
"""All lesions as one region; each lesion label as a region of its own; lesions, gland and duct."""
WeightedPooling: TypeAlias = Literal["average", "foreground-weighted"]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FPNSettings(_Settings):
    """A feature pyramid over the last three encoder levels; see `fpn.py`.

    Attributes:
        kind: `fpn`.
        width: channels of the pyramid.
        pooling: `average`, or `average-max`.
        attention: regions of the segmentation, each of which adds a mean weighted by its probability.
        evidence: whether each of these regions also says how sure and how large it is.
        dropout: share of pooled features that training drops.
        smoothing: whether `all` levels are convolved after the additions, or the `coarse` ones, all but the finest.
    """

    kind: Literal["fpn"] = "fpn"
    width: Width = 64
    pooling: Literal["average", "average-max"] = "average"
    attention: tuple[RegionName, ...] = ()
    evidence: bool = False
    dropout: DropoutShare = 0.0
    smoothing: Literal["all", "coarse"] = "all"

    @model_validator(mode="after")
    def _evidence_of_regions(self) -> Self:
        if self.evidence and not self.attention:
            raise ValueError("evidence is of the regions in attention; name lesion, each lesion or foreground there")
        return self


class GAPSettings(_Settings):
    """Global pooling of the bottleneck and one linear layer; see `gap.py`.

    Attributes:
        kind: `gap`.
        pooling: `average` (as published), or `foreground-weighted`.
    """

    kind: Literal["gap"] = "gap"
    pooling: WeightedPooling = "average"


class MaskedGeMSettings(_Settings):
    """Generalised-mean pooling of the bottleneck inside the predicted foreground; see `masked_gem.py`.

    Attributes:
        kind: `masked-gem`.
        widths: of the hidden linear layers.
        dropouts: share that training drops before each linear layer.
        stop_gradient: whether the class loss leaves the encoder alone.
        negative_slope: of the hidden units' activation below 0.
    """

    kind: Literal["masked-gem"] = "masked-gem"
    widths: tuple[Width, Width] = (256, 128)
    dropouts: tuple[DropoutShare, DropoutShare, DropoutShare] = (0.5, 0.3, 0.15)
    stop_gradient: bool = False
    negative_slope: Annotated[float, Field(ge=0, lt=1)] = 0.0


class ConvDenseSettings(_Settings):
    """Convolutions over the bottleneck, flattened into linear layers; see `conv_dense.py`.

    Attributes:
        kind: `conv-dense`.
        channels: of the two convolutions.
        widths: of the four hidden linear layers.
        dropouts: share that training drops after each of them.
        normalize_logits: whether the class logits themselves are batch-normalised (as published).
    """

    kind: Literal["conv-dense"] = "conv-dense"
    channels: tuple[Width, Width] = (256, 128)
    widths: tuple[Width, Width, Width, Width] = (512, 256, 128, 64)
    dropouts: tuple[DropoutShare, DropoutShare, DropoutShare, DropoutShare] = (0.3, 0.3, 0.3, 0.2)
    normalize_logits: bool = True


class DecoderSettings(_Settings):
    """A second decoder; see `decoder.py`.

    Attributes:
        kind: `decoder`.
        convolutions: of each decoder level.
        pooling: how the voxels' logits become the case's: `average`, or `foreground-weighted`.
    """

    kind: Literal["decoder"] = "decoder"
    convolutions: Repeated = 1
    pooling: WeightedPooling = "average"


def _fpn_if_unsaid(value: Any) -> Any:
    return {"kind": "fpn"} | value if isinstance(value, dict) else value


HeadSettings: TypeAlias = Annotated[
    FPNSettings | GAPSettings | MaskedGeMSettings | ConvDenseSettings | DecoderSettings,
    Field(discriminator="kind"),
    BeforeValidator(_fpn_if_unsaid),
]
"""Any head's settings, told apart by `kind`; a table that names none is an FPN's."""
