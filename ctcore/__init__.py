"""The ground floor: volumes, files, phantoms, inference, detection and evaluation; imports none of the packages above."""
