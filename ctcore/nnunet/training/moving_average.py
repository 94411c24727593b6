"""timm's exponential moving average of the weights, imported without its warnings."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # about timm's own use of torch
    from timm.utils.model_ema import ModelEmaV3

__all__ = ["ModelEmaV3"]
