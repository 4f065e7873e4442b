"""One model per key: in one process, and as a pure step for engines that keep the state.

``KeyedModel`` is a river estimator. ``step`` is for engines; ``river_attention.keyed.spark`` is
what it looks like under Spark Structured Streaming (extra ``spark``).
"""

from .model import KeyedModel
from .stepping import step
from .stores import FolderStore, SqliteStore

__all__ = ["FolderStore", "KeyedModel", "SqliteStore", "step"]
