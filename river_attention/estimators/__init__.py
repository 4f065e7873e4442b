"""river estimators: thin shells around encoder, memory and readout."""

from .classifier import StreamingAttentionClassifier
from .factories import delta_net, gated_delta_net, gla, hawk, ret_net, streaming_attention
from .forecaster import StreamingAttentionForecaster
from .latent_attention import LatentAttention, LatentAttentionRegressor
from .lstm_attention import LSTMAttention, LSTMAttentionRegressor
from .multi_regressor import StreamingAttentionMultiRegressor
from .regressor import StreamingAttentionRegressor
from .rls import RLSRegressor
from .transformer import AttentionTransformer
from .window_attention import (
    SlidingWindowAttention,
    SlidingWindowAttentionClassifier,
    SlidingWindowAttentionRegressor,
)

__all__ = [
    "AttentionTransformer",
    "LSTMAttention",
    "LSTMAttentionRegressor",
    "LatentAttention",
    "LatentAttentionRegressor",
    "RLSRegressor",
    "SlidingWindowAttention",
    "SlidingWindowAttentionClassifier",
    "SlidingWindowAttentionRegressor",
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
