"""The ground floor: volumes, files, phantoms, inference, detection, evaluation; imports none of the packages above."""
