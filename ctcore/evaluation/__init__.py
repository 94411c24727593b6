"""How good a set of predictions is: matching, curves, intervals. Knows nothing of networks."""
