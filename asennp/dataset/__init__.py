"""Labelled frames: reading and writing, an immutable store, splits, residual targets and a label audit."""

from asennp.dataset.audit import LabelAudit, audit
from asennp.dataset.export import fit_offsets, write_training_data
from asennp.dataset.frames import labels_of, read_frames, require_labels, write_frames
from asennp.dataset.hdf5 import read_hdf5, write_hdf5
from asennp.dataset.pools import describe_pools, load_pool, shipped_pools, write_pool
from asennp.dataset.splits import find_duplicates, refuse_shared_frames, split
from asennp.dataset.store import Store
from asennp.dataset.targets import attach_labels, compute_labels, residual_targets

__all__ = [
    "LabelAudit",
    "Store",
    "attach_labels",
    "audit",
    "compute_labels",
    "describe_pools",
    "find_duplicates",
    "fit_offsets",
    "labels_of",
    "load_pool",
    "read_frames",
    "read_hdf5",
    "refuse_shared_frames",
    "require_labels",
    "residual_targets",
    "shipped_pools",
    "split",
    "write_frames",
    "write_hdf5",
    "write_pool",
    "write_training_data",
]
