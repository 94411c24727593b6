"""From a normalised image to logits on its grid: window placement, blending, and the compute backends."""
