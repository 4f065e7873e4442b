"""river estimators: thin shells around encoder, memory and readout."""

from .classifier import StreamingAttentionClassifier
from .factories import delta_net, gated_delta_net, gla, hawk, ret_net, streaming_attention
from .forecaster import StreamingAttentionForecaster
from .multi_regressor import StreamingAttentionMultiRegressor
from .regressor import StreamingAttentionRegressor
from .rls import RLSRegressor
from .transformer import AttentionTransformer

__all__ = [
    "AttentionTransformer",
    "RLSRegressor",
    "StreamingAttentionClassifier",
    "StreamingAttentionForecaster",
    "StreamingAttentionMultiRegressor",
    "StreamingAttentionRegressor",
    "delta_net",
    "gated_delta_net",
    "gla",
    "hawk",
    "ret_net",
    "streaming_attention",
]
