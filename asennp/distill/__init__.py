"""Distillation: a committee screens a large pool for the few frames that are worth a label."""

from asennp.distill.protocol import DistillResult, DistillRound, DistillSettings, distill
from asennp.distill.selection import farthest_points, select

__all__ = ["DistillResult", "DistillRound", "DistillSettings", "distill", "farthest_points", "select"]
