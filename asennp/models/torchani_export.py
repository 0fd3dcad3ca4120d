"""A member of a model as a TorchANI potential."""

import warnings

import torch

from asennp.errors import InputError
from asennp.models.model import Model
from asennp.models.torch_backend import make_computer
from asennp.models.torchani_io import state_dict
from asennp.units import HARTREE_EV


def export_torchani(model: Model, member: int = 0, *, short_range_only: bool = False) -> torch.nn.Module:
    """Build `torchani.arch.ANI` from one member: AEVComputer, atomic networks and self energies.

    Called with ``((atomic numbers (1, N), coordinates (1, N, 3)), cell, pbc)`` it gives energies in Hartree;
    ``module.ase()`` is TorchANI's calculator, in eV. Everything is in double precision.

    Parameters
    ----------
    model
        The model.
    member
        Number of the committee member.
    short_range_only
        Accept a model with charges, whose Coulomb energy TorchANI's potential does not contain.

    Raises
    ------
    InputError
        A model with charges without `short_range_only`; cut-offs TorchANI refuses.
    """
    if model.charges and not short_range_only:
        raise InputError(
            "TorchANI has no place for the model's Coulomb energy",
            where="export_torchani",
            got=f"charges {dict(model.charges)}",
            do="give short_range_only=True, and add a Coulomb sum at these charges to the exported part",
        )
    computer = make_computer(model.aev)
    with warnings.catch_warnings():
        # compiled extensions are not needed
        warnings.filterwarnings("ignore", message="The extensions", category=UserWarning)
        from torchani.arch import ANI
        from torchani.nn import ANINetworks, AtomicNetwork
        from torchani.sae import SelfEnergy

    aev, settings = model.aev, model.networks.settings
    networks = {
        symbol: AtomicNetwork(settings.widths, settings.activation, bias=True) for symbol in aev.species
    }
    energies = (model.offsets_array / HARTREE_EV).tolist()
    shifter = SelfEnergy(aev.species, energies)
    module: torch.nn.Module = ANI(aev.species, computer, ANINetworks(networks), shifter).double()
    # made in single precision
    shifter.self_energies.copy_(torch.as_tensor(energies, dtype=torch.float64))
    state = state_dict(model, member)
    with torch.no_grad():
        for index, network in enumerate(networks.values()):
            for number, layer in enumerate([*network.layers, network.final_layer]):
                layer.weight.copy_(state[f"{index}.{2 * number}.weight"])
                layer.bias.copy_(state[f"{index}.{2 * number}.bias"])
    return module
