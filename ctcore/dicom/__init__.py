"""DICOM series as CTs: finding, choosing, reading. Knows no network and no result."""
