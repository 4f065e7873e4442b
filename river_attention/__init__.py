"""Temporal memory for online machine learning with river."""

from . import backend
from .backend import show_versions
from .estimators import (
    AttentionTransformer,
    LatentAttention,
    LatentAttentionRegressor,
    LSTMAttention,
    LSTMAttentionRegressor,
    RLSRegressor,
    SlidingWindowAttention,
    SlidingWindowAttentionClassifier,
    SlidingWindowAttentionRegressor,
    StreamingAttentionClassifier,
    StreamingAttentionForecaster,
    StreamingAttentionMultiRegressor,
    StreamingAttentionRegressor,
    delta_net,
    gated_delta_net,
    gla,
    hawk,
    ret_net,
    streaming_attention,
)
from .files import FileError, from_bytes, load
from .path import show_in_river
from .spiking import (
    HybridLinearAttentionNeuron,
    SpikeEncoder,
    SpikingAttentionClassifier,
    SpikingAttentionRegressor,
    SpikingAttentionTransformer,
)
from .state import StateError
from .values import calendar_features

__version__ = "0.1.0"

backend.start()
show_in_river()

__all__ = [
    "AttentionTransformer",
    "FileError",
    "HybridLinearAttentionNeuron",
    "LSTMAttention",
    "LSTMAttentionRegressor",
    "LatentAttention",
    "LatentAttentionRegressor",
    "RLSRegressor",
    "SlidingWindowAttention",
    "SlidingWindowAttentionClassifier",
    "SlidingWindowAttentionRegressor",
    "SpikeEncoder",
    "SpikingAttentionClassifier",
    "SpikingAttentionRegressor",
    "SpikingAttentionTransformer",
    "StateError",
    "StreamingAttentionClassifier",
    "StreamingAttentionForecaster",
    "StreamingAttentionMultiRegressor",
    "StreamingAttentionRegressor",
    "calendar_features",
    "delta_net",
    "from_bytes",
    "gated_delta_net",
    "gla",
    "hawk",
    "load",
    "ret_net",
    "show_versions",
    "streaming_attention",
]
