"""The only room that imports nnunetv2 and touches its environment variables."""
