"""What a case needs on its way, but the library of its networks: imported once, before workers are forked."""

from __future__ import annotations

import matplotlib.backends.backend_agg
import matplotlib.figure
import scipy.ndimage
import SimpleITK
import skimage.graph
import skimage.measure
import threadpoolctl

import ctcore.detection.by_class
import ctcore.morphometry.region
import pipeline.case_runner
import pipeline.executors.job
import pipeline.report.case_page
import pipeline.report.figure
import pipeline.stages
import pipeline.told

IMPORTED = (matplotlib, scipy, SimpleITK, skimage, threadpoolctl, ctcore, pipeline)
