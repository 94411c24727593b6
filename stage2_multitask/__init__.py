"""Stage 2: ROI -> lesion segmentation and patient-level class, by one multi-task network."""
