"""Neural network potentials: descriptor, atomic networks, and the model file that holds both."""

from asennp.models.aev import AEVSettings, Descriptor, compute_aev, compute_descriptor
from asennp.models.model import Model, load_model
from asennp.models.network import AtomicNetworks, NetworkSettings
from asennp.models.torchani_export import export_torchani
from asennp.models.torchani_io import import_torchani

__all__ = [
    "AEVSettings",
    "AtomicNetworks",
    "Descriptor",
    "Model",
    "NetworkSettings",
    "compute_aev",
    "compute_descriptor",
    "export_torchani",
    "import_torchani",
    "load_model",
]
