"""Memories with an explicit state: ``init_state / propose / commit / branch / forward``.

Layers of the softmax family can be trained as well: ``forward`` with ``ctx``, and ``backward``.
"""

from .blocks import Activation, Sequential, TransformerBlock
from .cached import SharedKV
from .caches import PagedKVCache, PagePool, PoolExhausted, RingKVCache
from .class_retrieval import ClassRetrieval
from .grouped_query import GroupedQueryAttention
from .hybrid_attention import HybridLinearAttention
from .latent import MultiHeadLatentAttention, mla_from_gqa
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
    "HybridLinearAttention",
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
    "SharedKV",
    "TransformerBlock",
    "mla_from_gqa",
]
