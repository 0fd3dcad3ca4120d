"""Distillation: a committee screens a large pool for the few frames that are worth a label."""

from asennp.distill.protocol import DistillResult, DistillRound, distill
from asennp.distill.selection import farthest_points, select
from asennp.distill.settings import DistillSettings

__all__ = ["DistillResult", "DistillRound", "DistillSettings", "distill", "farthest_points", "select"]
