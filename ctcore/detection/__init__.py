"""Lesion candidates, the detection map made of them, and their fusion with the class probabilities.

Works on arrays of probabilities; knows nothing of the networks that made them.
"""
