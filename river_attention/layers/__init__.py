"""Memories with an explicit state: ``init_state / propose / commit / branch / forward``.

Layers of the softmax family can be trained as well: ``forward`` with ``ctx``, and ``backward``.
"""

from .blocks import Activation, Sequential, TransformerBlock
from .caches import PagedKVCache, PagePool, PoolExhausted, RingKVCache
from .class_retrieval import ClassRetrieval
from .grouped_query import GroupedQueryAttention
from .latent import MultiHeadLatentAttention
from .linear_attention import MultiHeadLinearAttention
from .lstm import LSTM
from .memory_bank import MemoryBank
from .protocol import Memory
from .retrieval import Retrieval
from .trained import Dense, Layer, LayerNorm, RMSNorm
from .window import Ring

__all__ = [
    "LSTM",
    "Activation",
    "ClassRetrieval",
    "Dense",
    "GroupedQueryAttention",
    "Layer",
    "LayerNorm",
    "Memory",
    "MemoryBank",
    "MultiHeadLatentAttention",
    "MultiHeadLinearAttention",
    "PagePool",
    "PagedKVCache",
    "PoolExhausted",
    "RMSNorm",
    "Retrieval",
    "Ring",
    "RingKVCache",
    "Sequential",
    "TransformerBlock",
]
