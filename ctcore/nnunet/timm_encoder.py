"""A 2-D U-Net whose encoder is one of timm's, with nnU-Net's decoder.

timm's features begin at half or a quarter of the image's resolution, nnU-Net's decoder ends at the whole: a stem of
strided convolutions makes the levels before timm's first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from dynamic_network_architectures.building_blocks.simple_conv_blocks import StackedConvBlocks
from dynamic_network_architectures.building_blocks.unet_decoder import UNetDecoder
from dynamic_network_architectures.initialization.weight_init import InitWeights_He
from torch import nn

from ctcore.errors import RecipeError, first_line
from ctcore.nnunet.encoders import TIMM_PREFIX, check_timm_model, import_timm

NEGATIVE_SLOPE = 1e-2
"""Of nnU-Net's activations, for which its initial weights are scaled."""


def timm_features(
    model: str,
    levels: Sequence[int] | None = None,
    *,
    input_channels: int = 1,
    state: Mapping[str, torch.Tensor] | None = None,
) -> Any:
    """Builds one of timm's models as a list of feature maps; it reads no file and makes no network call.

    Args:
        model: a name of `timm.list_models()`.
        levels: which of timm's levels; all if not given.
        input_channels: channels of the image.
        state: weights of the whole model, fitted to the number of channels by timm; random ones if not given.

    Raises:
        ValueError: timm has no such model, or the state is empty.
    """
    check_timm_model(model)
    options: dict[str, Any] = {} if levels is None else {"out_indices": tuple(levels)}
    if state is not None:
        if not state:  # timm would look for weights on the network
            raise ValueError("it holds no weights")
        options |= {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": dict(state)}}
    return import_timm().create_model(model, features_only=True, in_chans=input_channels, **options)


class TimmEncoder(nn.Module):
    """Encoder levels at strides 1, 2, 4, ...: the first few of a stem, the others timm's.

    The attributes are what nnU-Net's decoder reads of an encoder.

    Args:
        input_channels: channels of the image.
        timm_model: a name of `timm.list_models()`.
        timm_levels: which of its levels are used; they are the last ones of the encoder.
        n_stages: number of levels, those of the stem included.
        features_per_stage: channels of each level.
        strides: stride (y, x) into each level.
        kernel_sizes: kernel (y, x) of each level of stem and decoder.
        conv_op: convolution of stem and decoder; the arguments that follow are theirs too.
        conv_bias: whether it has a bias.
        norm_op: normalisation.
        norm_op_kwargs: its arguments.
        dropout_op: dropout.
        dropout_op_kwargs: its arguments.
        nonlin: activation.
        nonlin_kwargs: its arguments.

    Raises:
        ValueError: timm has no such model, or its levels are not those described.
    """

    def __init__(
        self,
        input_channels: int,
        timm_model: str,
        timm_levels: Sequence[int],
        n_stages: int,
        features_per_stage: Sequence[int],
        strides: Sequence[Sequence[int]],
        kernel_sizes: Sequence[Sequence[int]],
        conv_op: type[nn.Conv2d],
        conv_bias: bool = True,
        norm_op: type[nn.Module] | None = None,
        norm_op_kwargs: dict[str, Any] | None = None,
        dropout_op: Any = None,
        dropout_op_kwargs: dict[str, Any] | None = None,
        nonlin: type[nn.Module] | None = None,
        nonlin_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.timm_model = timm_model
        self.timm_levels = tuple(timm_levels)
        self.input_channels = input_channels
        self.output_channels = list(features_per_stage)
        self.strides = [list(stride) for stride in strides]
        self.kernel_sizes = [list(kernel) for kernel in kernel_sizes]
        self.conv_op, self.conv_bias = conv_op, conv_bias
        self.norm_op, self.norm_op_kwargs = norm_op, norm_op_kwargs
        self.dropout_op, self.dropout_op_kwargs = dropout_op, dropout_op_kwargs
        self.nonlin, self.nonlin_kwargs = nonlin, nonlin_kwargs
        layers = (norm_op, norm_op_kwargs, dropout_op, dropout_op_kwargs, nonlin, nonlin_kwargs)
        of_stem = n_stages - len(self.timm_levels)
        channels = [input_channels, *self.output_channels[:of_stem]]
        self.stem = nn.ModuleList(
            StackedConvBlocks(
                1, conv_op, channels[k], channels[k + 1], self.kernel_sizes[k], self.strides[k], conv_bias, *layers
            )
            for k in range(of_stem)
        )
        self.stem.apply(InitWeights_He(NEGATIVE_SLOPE))
        self.body = timm_features(timm_model, self.timm_levels, input_channels=input_channels)
        found, expected = list(self.body.feature_info.channels()), self.output_channels[of_stem:]
        if found != expected or len(self.output_channels) != n_stages:
            raise ValueError(f"timm's '{timm_model}' has levels of {found} channels, and {expected} are described")

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Returns the levels, fine to coarse, of images (b, c, y, x)."""
        levels, level = [], images
        for block in self.stem:
            level = block(level)
            levels.append(level)
        return [*levels, *self.body(images)]

    def load_pretrained(self, path: Path) -> None:
        """Replaces timm's random weights by those of a file; the stem's stay.

        Args:
            path: safetensors of the whole model as timm publishes it, for colour images or for this network's.

        Raises:
            RecipeError: the file cannot be read or holds other weights.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            self.body.load_state_dict(self._pretrained(load_file(path)))
        except (SafetensorError, OSError, KeyError, RuntimeError, ValueError) as error:
            raise RecipeError(
                f"encoder_weights '{path}' cannot be used for {TIMM_PREFIX}{self.timm_model}: {first_line(error)};"
                " give the safetensors file of this timm model"
            ) from error

    def _pretrained(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Returns the body's weights as timm makes them of a file's.

        timm passes over what a file lacks. What does not change when all of the file's numbers change is not from it.
        """
        moved = {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in state.items()}
        made: list[dict[str, torch.Tensor]] = []
        for version in (state, moved):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                body = timm_features(
                    self.timm_model, self.timm_levels, input_channels=self.input_channels, state=version
                )
            made.append(body.state_dict())
        ours, other = made
        lacking = [name for name in ours if ours[name].is_floating_point() and torch.equal(ours[name], other[name])]
        if lacking:
            raise ValueError(f"it holds nothing for {len(lacking)} weights ({lacking[0]}, ...)")
        return ours


class TimmUNet(nn.Module):
    """A timm encoder and nnU-Net's decoder.

    Args:
        input_channels: channels of the image.
        num_classes: segmentation outputs, background included.
        n_conv_per_stage_decoder: convolutions of each decoder level.
        deep_supervision: whether the decoder answers at every level.
        **encoder: see `TimmEncoder`.
    """

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        n_conv_per_stage_decoder: Sequence[int],
        deep_supervision: bool = False,
        **encoder: Any,
    ) -> None:
        super().__init__()
        self.encoder = TimmEncoder(input_channels, **encoder)
        decoder: Any = UNetDecoder(self.encoder, num_classes, list(n_conv_per_stage_decoder), deep_supervision)
        for own in (decoder.stages, decoder.transpconvs, decoder.seg_layers):  # it holds the encoder too
            own.apply(InitWeights_He(NEGATIVE_SLOPE))
        self.decoder = decoder

    def forward(self, images: torch.Tensor) -> Any:
        """Segments images (b, c, y, x): logits (b, k, y, x), under deep supervision a list from fine to coarse."""
        return self.decoder(self.encoder(images))
