"""Memories with an explicit state: ``init_state / propose / commit / branch / forward``."""

from .class_retrieval import ClassRetrieval
from .hybrid_attention import HybridLinearAttention
from .linear_attention import MultiHeadLinearAttention
from .memory_bank import MemoryBank
from .protocol import Memory
from .retrieval import Retrieval
from .window import Ring

__all__ = [
    "ClassRetrieval",
    "HybridLinearAttention",
    "Memory",
    "MemoryBank",
    "MultiHeadLinearAttention",
    "Retrieval",
    "Ring",
]
