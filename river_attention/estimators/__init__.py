"""river estimators: thin shells around encoder, memory and readout."""

from .regressor import StreamingAttentionRegressor
from .rls import RLSRegressor
from .transformer import AttentionTransformer

__all__ = ["AttentionTransformer", "RLSRegressor", "StreamingAttentionRegressor"]
