"""Coulomb sums by torch-pme: particle-mesh Ewald for large cells, its Ewald sum for small ones."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from asennp.electrostatics.ewald import choose_settings
from asennp.electrostatics.pme import LARGEST_MESH, cell_lengths, smooth_size
from asennp.electrostatics.screened import check_accuracy, reach_factor, refuse_overlap
from asennp.electrostatics.slab import is_slab, sum_slab
from asennp.errors import InputError
from asennp.neighbors import check_geometry, neighbor_pairs
from asennp.units import COULOMB_EV_A

#: From this number of atoms on, torch-pme's mesh is quicker than its Ewald sum (measured).
TORCH_PME_BEYOND = 400
#: Lagrange interpolation over 7 nodes errs by about PREFACTOR (spacing / smearing)^ORDER (measured).
PREFACTOR, ORDER = 0.03, 5.5
#: Real-space reach of the particle-mesh sum, Å.
PME_CUTOFF = 8.0
#: Least points along a cell vector: more than the nodes of the interpolation.
SMALLEST_SIZE = 8


@dataclass(frozen=True)
class TorchSettings:
    """Parameters of one sum.

    Smearing and real-space reach (Å), then k-space reach (1/Å) or points of the mesh.
    """

    kind: str
    smearing: float
    real_cutoff: float
    k_cutoff: float | None = None
    mesh: tuple[int, int, int] | None = None


class TorchSum:
    """Sum by torch-pme, with forces and virial by automatic differentiation; float64, tin-foil.

    The P3M of torch-pme is left out: its influence function is wrong in cells that are not orthorhombic or
    are rotated. For many frames at once, and gradients of gradients, see `asennp.electrostatics.batch`.

    Parameters
    ----------
    kind
        ``"pme"``, ``"ewald"``, or ``"auto"``: by the number of atoms.
    accuracy
        Relative error of the forces, as for `asennp.electrostatics.ewald.Ewald`.
    device
        Torch's name of the device.
    """

    method = "torch-pme"

    def __init__(self, kind: str = "auto", accuracy: float = 1e-6, device: str = "cpu") -> None:
        if kind not in ("auto", "pme", "ewald"):
            raise InputError("unknown kind", where="kind", expected="auto, pme or ewald", got=kind)
        self.kind = kind
        self.accuracy = check_accuracy(accuracy)
        self.device = device
        #: Settings of the last sum.
        self.settings: TorchSettings | None = None
        #: Settings kept for every cell that they are good enough for; None: chosen for each cell.
        self.held: TorchSettings | None = None

    def __repr__(self) -> str:
        return f"TorchSum(kind={self.kind!r}, accuracy={self.accuracy:g}, settings={self.settings})"

    def choose(self, cell: np.ndarray, n_atoms: int, volume: float, pbc: np.ndarray) -> TorchSettings:
        """Return the settings for a periodic cell, and remember them."""
        if not np.all(pbc):
            raise InputError(
                "mesh sums need a cell periodic in three or two directions",
                where="atoms.pbc",
                got=np.asarray(pbc).tolist(),
                do="use method='ewald'",
            )
        if self.held is not None and self._serves(self.held, cell):
            self.settings = self.held
        else:
            self.settings = self._choose(cell, n_atoms, volume)
            if self.held is not None:
                self.held = self.settings
        return self.settings

    def _choose(self, cell: np.ndarray, n_atoms: int, volume: float) -> TorchSettings:
        kind = self.kind
        if kind == "auto":
            kind = "ewald" if n_atoms < TORCH_PME_BEYOND else "pme"
        if kind == "ewald":
            plain = choose_settings(n_atoms, volume, self.accuracy)
            smearing = 1.0 / (math.sqrt(2.0) * plain.alpha)
            return TorchSettings(kind, smearing, plain.real_cutoff, k_cutoff=plain.k_cutoff)
        smearing, _ = mesh_rule(self.accuracy)
        return TorchSettings(kind, smearing, PME_CUTOFF, mesh=choose_mesh(cell, self.accuracy))

    def _serves(self, settings: TorchSettings, cell: np.ndarray) -> bool:
        """Tell whether a mesh is still fine enough; it was chosen for half the error that is allowed."""
        if settings.mesh is None:
            return True
        _, spacing = mesh_rule(self.accuracy)
        return all(length <= n * spacing for length, n in zip(cell_lengths(cell), settings.mesh))

    def compute(
        self, positions: np.ndarray, cell: np.ndarray, charges: np.ndarray, pbc: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return atomic energies q_i phi_i/2 (N,) eV, forces (N, 3) eV/Å and the virial dE/deps (3, 3) eV."""
        import torch

        volume = check_geometry(positions, cell, pbc)
        if is_slab(pbc):
            return sum_slab(self.compute, positions, cell, charges, pbc, self.accuracy)
        settings = self.choose(cell, len(positions), volume, pbc)
        pairs = neighbor_pairs(positions, cell, pbc, settings.real_cutoff)
        refuse_overlap(float(pairs.distances.min(initial=np.inf)))

        def tensor(array: np.ndarray) -> Any:
            return torch.tensor(array, device=self.device)

        at = tensor(positions).requires_grad_()
        strain = torch.zeros((3, 3), dtype=torch.float64, device=self.device, requires_grad=True)
        deformation = torch.eye(3, dtype=torch.float64, device=self.device) + 0.5 * (strain + strain.T)
        q = tensor(np.asarray(charges, float))[:, None]
        i, j, r, h = tensor(pairs.i), tensor(pairs.j), at @ deformation, tensor(cell) @ deformation
        shifts = tensor(pairs.shifts.astype(float))
        distances = torch.linalg.norm(r[j] - r[i] + shifts @ h, dim=1)
        calculator, kvectors = self._build(settings, cell, h)
        half_potential = calculator(q, h, r, torch.stack([i, j], dim=1), distances, kvectors=kvectors)
        energies = (q * half_potential)[:, 0]
        forces, virial = torch.autograd.grad(energies.sum(), [at, strain])
        return (
            energies.detach().cpu().numpy(),
            -forces.cpu().numpy(),
            virial.cpu().numpy(),
        )

    def _build(self, settings: TorchSettings, cell: np.ndarray, h: Any) -> tuple[Any, Any]:
        """Return torch-pme's calculator, and the wave vectors of the deformed cell `h` if it needs them."""
        import torch
        import torchpme

        if settings.mesh is not None:
            from asennp.electrostatics.torch_mesh import FixedMeshPME

            return FixedMeshPME(settings.smearing, settings.mesh).to(self.device, torch.float64), None
        potential = torchpme.CoulombPotential(smearing=settings.smearing, prefactor=COULOMB_EV_A)
        # its own choice of wave vectors reaches only half as far as asked for
        ewald = torchpme.EwaldCalculator(potential, lr_wavelength=1.0).to(self.device, torch.float64)
        assert settings.k_cutoff is not None
        integers = wave_integers(cell, settings.k_cutoff)
        inverse = torch.linalg.inv(h)
        return ewald, 2.0 * math.pi * torch.tensor(integers, device=self.device) @ inverse.T


def mesh_rule(accuracy: float) -> tuple[float, float]:
    """Return the smearing and the largest mesh spacing, Å, for an accuracy."""
    smearing = PME_CUTOFF / (math.sqrt(2.0) * reach_factor(accuracy))
    return smearing, smearing * (accuracy / PREFACTOR) ** (1.0 / ORDER)


def choose_mesh(cell: np.ndarray, accuracy: float) -> tuple[int, int, int]:
    """Return the points of a mesh along each cell vector, for half the error that is allowed.

    Raises
    ------
    InputError
        A mesh too large for memory.
    """
    _, spacing = mesh_rule(0.5 * accuracy)
    n0, n1, n2 = (smooth_size(max(length / spacing, SMALLEST_SIZE)) for length in cell_lengths(cell))
    if n0 * n1 * n2 > LARGEST_MESH:
        raise InputError(
            "the mesh would be too large",
            where="accuracy",
            expected=f"at most {LARGEST_MESH} points",
            got=f"{(n0, n1, n2)} for {accuracy:g}",
            do="ask for less accuracy, or use method='ewald'",
        )
    return n0, n1, n2


def wave_integers(cell: np.ndarray, k_cutoff: float) -> np.ndarray:
    """Return all integer triples n (K, 3), as floats, with 0 < |2 pi n h^-T| <= k_cutoff."""
    reach = np.floor(k_cutoff * np.linalg.norm(cell, axis=1) / (2.0 * math.pi) + 1e-9).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1)
    integers = grid.reshape(-1, 3).astype(float)
    k2 = ((2.0 * math.pi * integers @ np.linalg.inv(cell).T) ** 2).sum(axis=1)
    return integers[(k2 > 0.0) & (k2 <= k_cutoff**2)]
