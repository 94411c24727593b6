"""Classification heads: encoder features -> class logits."""
