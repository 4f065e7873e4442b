"""Spiking neurons with linear attention, populations of them, and spike encoders."""

from .firing import Firing
from .neuron import HybridLinearAttentionNeuron
from .population import Population

__all__ = ["Firing", "HybridLinearAttentionNeuron", "Population"]
