"""Labelled frames: reading and writing, an immutable store, splits, residual targets and a label audit."""

from asennp.dataset.audit import LabelAudit, audit
from asennp.dataset.frames import labels_of, read_frames, require_labels, write_frames
from asennp.dataset.splits import find_duplicates, split
from asennp.dataset.store import Store
from asennp.dataset.targets import attach_labels, compute_labels, residual_targets

__all__ = [
    "LabelAudit",
    "Store",
    "attach_labels",
    "audit",
    "compute_labels",
    "find_duplicates",
    "labels_of",
    "read_frames",
    "require_labels",
    "residual_targets",
    "split",
    "write_frames",
]
