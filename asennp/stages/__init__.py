"""Stages of a run: functions from a configuration and upstream folders to files in their own folder.

Each is ``stage(config, folder, upstream) -> StageOutput`` in a module of its name. A stage that was
stopped finds its checkpoints in `folder` and continues to the same result.
"""
