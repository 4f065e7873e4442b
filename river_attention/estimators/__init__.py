"""river estimators: thin shells around encoder, memory and readout."""

from .factories import delta_net, gated_delta_net, gla, hawk, ret_net, streaming_attention
from .regressor import StreamingAttentionRegressor
from .rls import RLSRegressor
from .transformer import AttentionTransformer

__all__ = [
    "AttentionTransformer",
    "RLSRegressor",
    "StreamingAttentionRegressor",
    "delta_net",
    "gated_delta_net",
    "gla",
    "hawk",
    "ret_net",
    "streaming_attention",
]
