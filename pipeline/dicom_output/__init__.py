"""A case's result in DICOM: segmentations (SEG) and a structured report (SR) that refer to the series it comes from."""
