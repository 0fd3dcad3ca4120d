"""A committee of neural networks plus the Coulomb energy at the model's charges, as an ASE calculator."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress

from asennp.calculators.base import ChargedCalculator, pack_results
from asennp.calculators.dispersion import D3Calculator
from asennp.electrostatics.charges import born_charges, physical_born_charges
from asennp.electrostatics.equilibration import Equilibration
from asennp.electrostatics.long_range import long_range_terms, make_long_range
from asennp.electrostatics.pqeq_response import compute_born_charges
from asennp.electrostatics.splitting import Splitting
from asennp.errors import InputError
from asennp.files import sha256_json
from asennp.models.direct import compute_direct
from asennp.models.model import Model, load_model
from asennp.models.network import PRECISIONS
from asennp.models.torch_backend import TorchBackend, choose_device
from asennp.neighbors import VerletPairs


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


def _digest(model: Model) -> str:
    """Return the SHA-256 of a model's settings and parameters."""
    digest = hashlib.sha256(sha256_json(model.todict()).encode())
    for array in model.networks.state().values():
        digest.update(array.tobytes())
    return digest.hexdigest()


class HybridNNPCalculator(ChargedCalculator):
    """Neural network potential: short range by networks, long range by point charges or PQEq.

    E = sum_i [mean over members of f_species(i)(G_i) + offset] + E_Coulomb(charges), with the ANI descriptor
    G. One pass gives energy, free_energy, energies, forces, stress (cells periodic in three directions)
    and, for a model with charges, charges; `committee` then holds the spread of the members.

    Parameters
    ----------
    model
        A shipped model's name, an ``.asennp`` file, or a `Model`.
    device
        Where the potential is evaluated: ``"cpu"``, ``"cuda"``, or ``"auto"`` (cuda where there is one). Pair
        lists are always made on the CPU.
    dtype
        ``"float32"`` or ``"float64"``: of the networks and of the descriptor's features; distances, angles,
        sums over neighbours' forces and the Coulomb part are always in double precision.
    coulomb_accuracy
        Relative force error of the Coulomb sum, or of PQEq's.
    backend
        ``"compiled"``: our own descriptor and Coulomb sums, on the CPU. ``"torch"``: TorchANI's descriptor
        and torch-pme's sums (periodic cells), differentiated by autograd, on any device; slower on a CPU.
        ``"auto"``: compiled on a CPU, torch elsewhere.
    dispersion
        Density functional, such as ``"pbe"``, whose D3 correction (see
        `asennp.calculators.dispersion.D3Calculator`) is added: for models of labels without dispersion.

    Raises
    ------
    InputError
        Unknown model or species, a device that is not there, a cell that is not neutral, overlapping
        atoms, positions that are not finite.
    """

    splitting: Splitting | Equilibration
    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress", "charges"]  # noqa: RUF012
    default_parameters = {  # noqa: RUF012
        "model": None, "device": "auto", "dtype": "float32", "coulomb_accuracy": 1e-6,
        "dispersion": None, "backend": "auto",
    }  # fmt: skip

    def __init__(
        self,
        model: str | Path | Model,
        device: str = "auto",
        dtype: str = "float32",
        coulomb_accuracy: float = 1e-6,
        dispersion: str | None = None,
        backend: str = "auto",
        **kwargs: Any,
    ) -> None:
        kwargs |= {"coulomb_accuracy": coulomb_accuracy, "dispersion": dispersion, "backend": backend}
        super().__init__(model=model, device=device, dtype=dtype, **kwargs)

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Change parameters, as given to the constructor; results are dropped."""
        if "model" in kwargs:
            self.model = load_model(kwargs["model"])
            if isinstance(kwargs["model"], Model):
                kwargs["model"] = f"in memory, sha256 {_digest(self.model)}"
            kwargs["model"] = str(kwargs["model"])
        changed = super().set(**kwargs)
        self._prepare()
        return changed

    def reset(self) -> None:
        """Forget the results."""
        super().reset()
        self._committee: Committee | None = None
        self._members: tuple[float, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None = None

    def _prepare(self) -> None:
        """Put networks and lists in place for the parameters."""
        dtype, device = self.parameters["dtype"], self.parameters["device"]
        if dtype not in PRECISIONS:
            raise InputError("unknown type", where="dtype", expected="float32 or float64", got=dtype)
        device, backend = choose_device(device, self.parameters["backend"])
        self._storage, precision = PRECISIONS[dtype]
        self._networks = self.model.networks.to(dtype=precision, device=device)
        self._torch = TorchBackend(self.model.aev, self._networks) if backend == "torch" else None
        self._offsets = self.model.offsets_array
        self._neighbors = VerletPairs(self.model.aev.radial_cutoff)
        self.splitting = make_long_range(
            self.model.electrostatics, backend, self.parameters["coulomb_accuracy"], device
        )
        functional = self.parameters["dispersion"]
        self.dispersion = None if functional is None else D3Calculator(functional)

    @property
    def committee(self) -> Committee:
        """The members' spread in the last calculation."""
        if self._committee is None:
            if self._members is None:
                raise InputError(
                    "there is no calculation yet", where="committee", do="ask for an energy first"
                )
            self._committee = self._spread(*self._members)
        return self._committee

    def member(self, number: int) -> Self:
        """Return a calculator of one member alone, with the same settings."""
        settings = {key: value for key, value in self.parameters.items() if key != "model"}
        return type(self)(self.model.member(number), **settings)

    def born_charges(self, atoms: Atoms) -> np.ndarray:
        """Return Z* = q I (N, 3, 3) of the model itself, e: see `asennp.electrostatics.charges`."""
        if isinstance(self.splitting, Equilibration):
            return compute_born_charges(*self.splitting.responding(atoms, None))
        return born_charges(atoms.numbers, self.model.charges)

    def physical_born_charges(self, atoms: Atoms, eps_inf: float) -> np.ndarray:
        """Return the estimate sqrt(eps_inf) q I (N, 3, 3) of measured Born charges, e; not for dynamics."""
        return physical_born_charges(atoms.numbers, self.model.charges, eps_inf)

    def compute(self, atoms: Atoms) -> dict[str, Any]:
        """Return every property; `committee` is set on the way."""
        species, features, energies, slopes, virials = self._short_range(atoms)
        members = energies.astype(float) + self._offsets[species]
        volume = atoms.get_volume() if atoms.pbc.all() else 0.0
        self._committee = None
        self._members = (volume, members, slopes, virials, species, features)

        atomic, forces, virial = members.mean(axis=0), -slopes.mean(axis=0), virials.mean(axis=0)
        charges = None
        if self.model.is_long_ranged:
            energy, force, strain, charges = long_range_terms(self.splitting, atoms, self.model.charges)
            atomic, forces, virial = atomic + energy, forces + force, virial + strain
        if self.dispersion is not None:
            energy, force, strain = self.dispersion.terms(atoms)
            atomic, forces, virial = atomic + energy, forces + force, virial + strain
        results = pack_results(atomic, forces, virial, volume)
        return results if charges is None else {**results, "charges": charges}

    def _short_range(self, atoms: Atoms) -> tuple[np.ndarray, ...]:
        """Return species, features, and of each member energies, dE/dr and dE/deps."""
        if self._torch is not None:
            species, features, energies, slopes, virials = self._torch.evaluate([atoms], [self._neighbors])
            return species, features, energies, slopes, virials[:, 0]
        descriptor = compute_direct(atoms, self.model.aev, self._storage, neighbors=self._neighbors)
        found, gradients = self._networks.energies_and_gradients(
            torch.from_numpy(descriptor.features), torch.from_numpy(descriptor.species)
        )
        slopes, virials = descriptor.pull_back(gradients.numpy())
        return descriptor.species, descriptor.features, found.numpy(), slopes, virials

    def _spread(
        self,
        volume: float,
        energies: np.ndarray,
        slopes: np.ndarray,
        virials: np.ndarray,
        species: np.ndarray,
        features: np.ndarray,
    ) -> Committee:
        """Compare the members: only on request, as few steps of a simulation ask."""
        ddof = 1 if len(energies) > 1 else 0
        stress_std = outside = None
        if volume > 0.0:
            stress_std = full_3x3_to_voigt_6_stress(virials / volume).std(axis=0, ddof=ddof)
        if self.model.ranges is not None:
            low, high = self.model.ranges[species].transpose(1, 0, 2)
            # ranges are stored in single precision
            outside = ((features < low - 1e-5) | (features > high + 1e-5)).any(axis=1)
        return Committee(
            energy_std=float(energies.sum(axis=1).std(ddof=ddof)),
            energies_std=energies.std(axis=0, ddof=ddof),
            forces_std=slopes.std(axis=0, ddof=ddof),
            stress_std=stress_std,
            outside=outside,
        )
