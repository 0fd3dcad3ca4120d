"""A committee of neural networks plus the Coulomb energy at the model's charges, as an ASE calculator."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from asennp.electrostatics.charges import assign_charges
from asennp.electrostatics.ewald import Ewald
from asennp.errors import InputError, nearest
from asennp.files import sha256_json
from asennp.models.aev import Descriptor, compute_descriptor
from asennp.models.model import Model, load_model
from asennp.neighbors import VerletPairs

_DTYPES = {"float32": (np.float32, torch.float32), "float64": (np.float64, torch.float64)}


@dataclass(frozen=True, eq=False)
class Committee:
    """How far the members of a committee differ: standard deviations (n - 1; zero for one member).

    Attributes
    ----------
    energy_std
        Of the energy, eV.
    energies_std
        Of the atomic energies, (N,), eV.
    forces_std
        Of the force components, (N, 3), eV/Å.
    stress_std
        Of the stress components, (6,), eV/Å^3; None unless the cell is periodic in three directions.
    outside
        Atoms with a feature outside the range it had in training, (N,) booleans; None if the model does
        not know its ranges.
    """

    energy_std: float
    energies_std: np.ndarray
    forces_std: np.ndarray
    stress_std: np.ndarray | None
    outside: np.ndarray | None

    @property
    def outside_range(self) -> int | None:
        """Number of atoms outside the training range; None if unknown."""
        return None if self.outside is None else int(self.outside.sum())


class HybridNNPCalculator(Calculator):
    """Neural network potential: short range by networks, long range by point charges.

    E = sum_i [mean over members of f_species(i)(G_i) + offset] + E_Coulomb(charges), with the ANI descriptor
    G. One pass gives energy, free_energy, energies, forces, stress (cells periodic in three directions)
    and, for a model with charges, charges; `committee` then holds the spread of the members.

    Parameters
    ----------
    model
        A shipped model's name, an ``.asennp`` file, or a `Model`.
    device
        Where the networks run: ``"cpu"``, ``"cuda"``, or ``"auto"`` (cuda where there is one). Descriptor
        and Coulomb sum always run on the CPU, in double precision.
    dtype
        ``"float32"`` or ``"float64"``: of the networks and of the stored Jacobian of the descriptor.
    coulomb_accuracy
        Relative force error of the Coulomb sum.

    Raises
    ------
    InputError
        Unknown model or species, a device that is not there, a cell that is not neutral, overlapping
        atoms, positions that are not finite.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress", "charges"]  # noqa: RUF012
    default_parameters = {"device": "auto", "dtype": "float32", "coulomb_accuracy": 1e-6}  # noqa: RUF012

    def __init__(
        self,
        model: str | Path | Model,
        device: str = "auto",
        dtype: str = "float32",
        coulomb_accuracy: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(model=model, device=device, dtype=dtype, coulomb_accuracy=coulomb_accuracy, **kwargs)

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Change parameters, as given to the constructor; results are dropped."""
        known = ("model", *self.default_parameters)
        if unknown := [key for key in kwargs if key not in known]:
            raise InputError(
                "unknown parameter", where=type(self).__name__, got=unknown[0], do=nearest(unknown[0], known)
            )
        if "model" in kwargs:
            self.model = load_model(kwargs["model"])
            if isinstance(kwargs["model"], Model):
                arrays = {name: array.tolist() for name, array in self.model.networks.state().items()}
                digest = sha256_json([self.model.todict(), arrays])
                kwargs["model"] = f"in memory, sha256 {digest}"
            kwargs["model"] = str(kwargs["model"])
        changed: dict[str, Any] = super().set(**kwargs)
        self.reset()
        self._prepare()
        return changed

    def reset(self) -> None:
        """Forget the results."""
        super().reset()
        self._committee: Committee | None = None

    def _prepare(self) -> None:
        """Put networks and lists in place for the parameters."""
        dtype, device = self.parameters["dtype"], self.parameters["device"]
        if dtype not in _DTYPES:
            raise InputError("unknown type", where="dtype", expected="float32 or float64", got=dtype)
        if device not in ("auto", "cpu", "cuda"):
            raise InputError("unknown device", where="device", expected="auto, cpu or cuda", got=device)
        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("there is no CUDA device", where="device", got="cuda", do="use device='auto'")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._storage, precision = _DTYPES[dtype]
        self._networks = self.model.networks.to(dtype=precision, device=device)
        self._offsets = self.model.offsets_array
        self._neighbors = VerletPairs(self.model.aev.radial_cutoff)
        self.electrostatics = Ewald(self.parameters["coulomb_accuracy"])

    @property
    def committee(self) -> Committee:
        """The members' spread in the last calculation."""
        if self._committee is None:
            raise InputError("there is no calculation yet", where="committee", do="ask for an energy first")
        return self._committee

    def member(self, number: int) -> Self:
        """Return a calculator of one member alone, with the same settings."""
        settings = {key: value for key, value in self.parameters.items() if key != "model"}
        return type(self)(self.model.member(number), **settings)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill `results` with every property in one pass."""
        super().calculate(atoms, properties or ["energy"], system_changes)
        atoms = self.atoms
        assert atoms is not None
        descriptor = compute_descriptor(atoms, self.model.aev, self._storage, neighbors=self._neighbors)
        energies, gradients = self._networks.energies_and_gradients(
            torch.from_numpy(descriptor.features), torch.from_numpy(descriptor.species)
        )
        slopes, virials = descriptor.pull_back(gradients.cpu().numpy())
        members = energies.cpu().numpy().astype(float) + self._offsets[descriptor.species]
        self._committee = self._spread(atoms, members, slopes, virials, descriptor)

        atomic, forces, virial = members.mean(axis=0), -slopes.mean(axis=0), virials.mean(axis=0)
        results: dict[str, Any] = {}
        if self.model.charges:
            charges = assign_charges(atoms.numbers, self.model.charges, where="the model's charges")
            added = self.electrostatics.compute(atoms.positions, atoms.cell.array, charges, atoms.pbc)
            atomic, forces, virial = atomic + added[0], forces + added[1], virial + added[2]
            results["charges"] = charges
        energy = float(atomic.sum())
        results |= {"energy": energy, "free_energy": energy, "energies": atomic, "forces": forces}
        if atoms.pbc.all():
            results["stress"] = full_3x3_to_voigt_6_stress(virial / atoms.get_volume())
        self.results = results

    def _spread(
        self,
        atoms: Atoms,
        energies: np.ndarray,
        slopes: np.ndarray,
        virials: np.ndarray,
        descriptor: Descriptor,
    ) -> Committee:
        ddof = 1 if len(energies) > 1 else 0
        stress_std = outside = None
        if atoms.pbc.all():
            stress_std = full_3x3_to_voigt_6_stress(virials / atoms.get_volume()).std(axis=0, ddof=ddof)
        if self.model.ranges is not None:
            low, high = self.model.ranges[descriptor.species].transpose(1, 0, 2)
            # ranges are stored in single precision
            features = descriptor.features
            outside = ((features < low - 1e-5) | (features > high + 1e-5)).any(axis=1)
        return Committee(
            energy_std=float(energies.sum(axis=1).std(ddof=ddof)),
            energies_std=energies.std(axis=0, ddof=ddof),
            forces_std=slopes.std(axis=0, ddof=ddof),
            stress_std=stress_std,
            outside=outside,
        )
