"""Spiking neurons with linear attention, populations of them, spike encoders and estimators."""

from .encoder import SpikeEncoder
from .estimators import (
    SpikingAttentionClassifier,
    SpikingAttentionRegressor,
    SpikingAttentionTransformer,
)
from .firing import Firing
from .neuron import HybridLinearAttentionNeuron
from .population import Population

__all__ = [
    "Firing",
    "HybridLinearAttentionNeuron",
    "Population",
    "SpikeEncoder",
    "SpikingAttentionClassifier",
    "SpikingAttentionRegressor",
    "SpikingAttentionTransformer",
]
