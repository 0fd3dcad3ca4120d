"""Coulomb energies of many frames at once in torch, differentiable in positions, cells and charges.

Frames of different cells and sizes go through one call: pairs of all frames in one list, wave vectors of
small frames in padded blocks. Large frames go through torch-pme's mesh one after another. Memory grows in
proportion to the number of atoms:
waves are taken in chunks, which are made again in the backward pass.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch.utils.checkpoint import checkpoint

from asennp.electrostatics.ewald import EwaldSettings, choose_settings
from asennp.electrostatics.kernels import TAPER
from asennp.electrostatics.mesh import TORCH_PME_BEYOND, TorchSum, wave_integers
from asennp.electrostatics.screened import all_pairs, check_accuracy, check_periodic, refuse_overlap
from asennp.electrostatics.torch_mesh import FixedMeshPME
from asennp.errors import InputError
from asennp.neighbors import check_geometry, neighbor_pairs
from asennp.units import COULOMB_EV_A

#: Products of wave and atom that are held at once.
CHUNK = 2**22
#: Frames share a padded block while the largest has at most so many times the atoms of the smallest.
SPREAD = 1.5


@dataclass(frozen=True)
class CoulombResult:
    """Coulomb results of a batch.

    Attributes
    ----------
    energies
        Of the frames, (B,), eV.
    atomic_energies
        q_i phi_i/2, (N,), eV; atoms of all frames, one frame after another.
    forces
        (N, 3), eV/Å.
    stress
        (1/V) dE/deps, (B, 3, 3), eV/Å^3; zero for open frames.
    """

    energies: torch.Tensor
    atomic_energies: torch.Tensor
    forces: torch.Tensor
    stress: torch.Tensor


@dataclass(frozen=True)
class _Block:
    """Frames whose waves are summed together: atoms (F, n), waves (F, K, 3), settings (F,)."""

    frames: torch.Tensor
    atoms: torch.Tensor
    present: torch.Tensor
    waves: torch.Tensor
    alpha: torch.Tensor
    reach: torch.Tensor


class CoulombBatch:
    """Frames prepared for Coulomb sums in torch.

    What does not depend on the values of positions, cells and charges (pairs, wave vectors, splitting) is
    found once. Then `energies` may be called again and again, as in the epochs of a training: it is
    differentiable, also twice (a loss on forces needs that), in positions, cells and charges. Numbers are
    those of `asennp.electrostatics.ewald.Ewald` with the same settings; a frame's do not depend on what it is
    batched with.

    Pairs are those within reach at the frames' own positions, and waves those of their cells: derivatives
    there are exact, but after larger moves make a new batch.

    Parameters
    ----------
    frames
        Atoms; periodic in all directions or in none.
    accuracy
        Relative error of the forces.
    device, dtype
        Of all tensors.
    background
        Accept frames that are not neutral: see `asennp.electrostatics.ewald.Ewald`. Checked when charges are
        given, on the values.

    Attributes
    ----------
    positions, cells, numbers
        (N, 3) Å, (B, 3, 3) Å, (N,): of the frames, one after another.
    system
        Frame of each atom, (N,).
    settings
        Splitting of each frame (None: open).

    Raises
    ------
    InputError
        No frames, overlapping atoms, slabs and wires, cells without volume.

    References
    ----------
    P. Loche et al., J. Chem. Phys. 162, 142501 (2025), doi:10.1063/5.0251713 (torch-pme).
    """

    def __init__(
        self,
        frames: Sequence[Atoms],
        accuracy: float = 1e-6,
        device: str = "cpu",
        dtype: torch.dtype = torch.float64,
        background: bool = False,
    ) -> None:
        if len(frames) == 0:
            raise InputError("there are no frames", where="frames", expected="at least one", got=0)
        self.accuracy, self.background = check_accuracy(accuracy), background
        self.device, self.dtype = torch.device(device), dtype
        sizes = [len(atoms) for atoms in frames]
        self._starts = np.concatenate([[0], np.cumsum(sizes)])
        self.positions = self._real(np.concatenate([atoms.positions for atoms in frames]))
        self.cells = self._real(np.stack([atoms.cell.array for atoms in frames]))
        self.numbers = self._whole(np.concatenate([atoms.numbers for atoms in frames]))
        self.system = self._whole(np.repeat(np.arange(len(frames)), sizes))
        self.settings: list[Any] = []
        pairs = [self._prepare(k, atoms) for k, atoms in enumerate(frames)]
        i, j, shifts, alpha, reach = (np.concatenate(part) for part in zip(*pairs))
        self._i, self._j, self._shifts = self._whole(i), self._whole(j), self._real(shifts)
        self._alpha, self._reach = self._real(alpha), self._real(reach)
        self._blocks = self._make_blocks(frames)
        # open frames have no cell to be strained by, but need one to be inverted
        self._periodic = self._whole([s is not None for s in self.settings]).bool()

    def _real(self, array: Any) -> torch.Tensor:
        return torch.as_tensor(np.asarray(array), dtype=self.dtype, device=self.device)

    def _whole(self, array: Any) -> torch.Tensor:
        return torch.as_tensor(np.asarray(array, dtype=np.int64), device=self.device)

    def __len__(self) -> int:
        return len(self.settings)

    def _prepare(self, k: int, atoms: Atoms) -> tuple[np.ndarray, ...]:
        """Choose a frame's splitting; return its pairs, with alpha and reach of each, for batched Ewald
        sums."""
        positions, cell = atoms.positions, atoms.cell.array
        volume = check_geometry(positions, cell, atoms.pbc)
        if not check_periodic(atoms.pbc):
            i, j, shifts = all_pairs(len(atoms))
            refuse_overlap(float(np.linalg.norm(positions[i] - positions[j], axis=1).min(initial=np.inf)))
            self.settings.append(None)
            alpha, reach = 0.0, math.inf
        else:
            settings: Any = choose_settings(len(atoms), volume, self.accuracy)
            if len(atoms) >= TORCH_PME_BEYOND:
                chosen = TorchSum("pme", self.accuracy).choose(cell, len(atoms), volume, atoms.pbc)
                settings = chosen
                alpha = 1.0 / (math.sqrt(2.0) * chosen.smearing)
            else:
                alpha = settings.alpha
            reach = settings.real_cutoff
            found = neighbor_pairs(positions, cell, atoms.pbc, reach)
            refuse_overlap(float(found.distances.min(initial=np.inf)))
            i, j, shifts = found.i, found.j, found.shifts
            self.settings.append(settings)
        first = int(self._starts[k])
        return i + first, j + first, shifts, np.full(len(i), alpha), np.full(len(i), reach)

    def _make_blocks(self, frames: Sequence[Atoms]) -> list[_Block]:
        """Group the frames summed by Ewald's method into blocks of similar size."""
        small = [k for k, s in enumerate(self.settings) if isinstance(s, EwaldSettings)]
        small.sort(key=lambda k: len(frames[k]))
        groups: list[list[int]] = []
        for k in small:
            if groups and len(frames[k]) <= SPREAD * len(frames[groups[-1][0]]):
                groups[-1].append(k)
            else:
                groups.append([k])
        return [self._make_block(group, frames) for group in groups]

    def _make_block(self, group: list[int], frames: Sequence[Atoms]) -> _Block:
        waves = []
        for k in group:
            whole = wave_integers(frames[k].cell.array, self.settings[k].k_cutoff)
            # one of each pair of opposites
            n0, n1, n2 = whole.T
            waves.append(whole[(n0 > 0) | ((n0 == 0) & ((n1 > 0) | ((n1 == 0) & (n2 > 0))))])
        n_atoms, n_waves = max(len(frames[k]) for k in group), max(len(w) for w in waves)
        atoms, present = np.zeros((len(group), n_atoms), int), np.zeros((len(group), n_atoms))
        padded = np.zeros((len(group), n_waves, 3))
        for row, k in enumerate(group):
            n = len(frames[k])
            atoms[row, :n], present[row, :n] = np.arange(n) + self._starts[k], 1.0
            padded[row, : len(waves[row])] = waves[row]
        return _Block(
            self._whole(group),
            self._whole(atoms),
            self._real(present),
            self._real(padded),
            self._real([self.settings[k].alpha for k in group]),
            self._real([self.settings[k].k_cutoff for k in group]),
        )

    def energies(
        self,
        charges: torch.Tensor,
        positions: torch.Tensor | None = None,
        cells: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the energies of the frames, (B,), eV; see `atomic_energies`."""
        atomic = self.atomic_energies(charges, positions, cells)
        return torch.zeros(len(self), dtype=atomic.dtype, device=atomic.device).index_add(
            0, self.system, atomic
        )

    def atomic_energies(
        self,
        charges: torch.Tensor,
        positions: torch.Tensor | None = None,
        cells: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return q_i phi_i/2 of all atoms, (N,), eV.

        Parameters
        ----------
        charges
            (N,), e.
        positions, cells
            (N, 3) and (B, 3, 3), Å; default: the frames'.
        """
        r = self.positions if positions is None else positions
        h = self.cells if cells is None else cells
        self._check(charges, r, h)
        energies = self._pair_energies(charges, r, h)
        for block in self._blocks:
            added = self._wave_energies(block, charges, r, h)
            energies = energies.index_add(0, block.atoms.flatten(), (added * block.present).flatten())
        for k, settings in enumerate(self.settings):
            if settings is not None and not isinstance(settings, EwaldSettings):
                energies = energies + self._mesh_energies(k, charges, r, h)
        return energies * COULOMB_EV_A

    def evaluate(
        self,
        charges: torch.Tensor,
        positions: torch.Tensor | None = None,
        cells: torch.Tensor | None = None,
        create_graph: bool = False,
    ) -> CoulombResult:
        """Return energies, forces and stress of all frames.

        Parameters
        ----------
        charges, positions, cells
            As for `atomic_energies`.
        create_graph
            Keep the results differentiable, for a loss on forces or stress.
        """
        r = (self.positions if positions is None else positions).clone()
        h = self.cells if cells is None else cells
        if not r.requires_grad:
            r.requires_grad_()
        strain = torch.zeros_like(h).requires_grad_()
        deformation = torch.eye(3, dtype=h.dtype, device=h.device) + 0.5 * (strain + strain.mT)
        moved = torch.einsum("na,nab->nb", r, deformation[self.system])
        atomic = self.atomic_energies(charges, moved, h @ deformation)
        slopes, virial = torch.autograd.grad(atomic.sum(), [r, strain], create_graph=create_graph)
        if not create_graph:
            atomic = atomic.detach()
        energies = torch.zeros(len(self), dtype=h.dtype, device=h.device).index_add(0, self.system, atomic)
        volumes = torch.where(self._periodic, torch.linalg.det(h).abs(), math.inf)
        return CoulombResult(energies, atomic, -slopes, virial / volumes[:, None, None])

    def _check(self, charges: torch.Tensor, positions: torch.Tensor, cells: torch.Tensor) -> None:
        for name, given, shape in (
            ("charges", charges, self.numbers.shape),
            ("positions", positions, self.positions.shape),
            ("cells", cells, self.cells.shape),
        ):
            if given.shape != shape:
                raise InputError("another shape", where=name, expected=tuple(shape), got=tuple(given.shape))
        if self.background:
            return
        total = torch.zeros(len(self), dtype=charges.dtype, device=charges.device)
        total = torch.where(self._periodic, total.index_add(0, self.system, charges.detach()), 0.0).abs()
        if float(total.max()) > 1e-5:
            worst = int(total.argmax())
            raise InputError(
                f"frame {worst} is not neutral",
                where="charges",
                expected="charges that sum to zero",
                got=f"{float(total[worst]):.3g} e",
                do="correct the charges, or accept a uniform background (background=True)",
            )

    def _pair_energies(self, q: torch.Tensor, r: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """Return half of each screened pair term for each of its atoms, e^2/Å; the plain one in open
        frames."""
        i, j, reach = self._i, self._j, self._reach
        # cells of open frames may be zero: their shifts are
        vectors = r[j] - r[i] + torch.einsum("pa,pab->pb", self._shifts, h[self.system[i]])
        distances = torch.linalg.vector_norm(vectors, dim=1)
        onset = torch.where(torch.isinf(reach), reach, (1.0 - TAPER) * reach)
        width = torch.where(torch.isinf(reach), 1.0, TAPER * reach)
        x = torch.where(torch.isinf(onset), 0.0, (distances - torch.nan_to_num(onset)) / width)
        half = 0.5 * q[i] * q[j] * torch.erfc(self._alpha * distances) / distances * step_down(x)
        return torch.zeros_like(q).index_add(0, i, half).index_add(0, j, half)

    def _wave_energies(
        self, block: _Block, q: torch.Tensor, r: torch.Tensor, h: torch.Tensor
    ) -> torch.Tensor:
        """Return what waves, self-energy and background add to the atoms of a block, (F, n), e^2/Å."""
        cells, charges = h[block.frames], q[block.atoms] * block.present
        inverse, volume = torch.linalg.inv(cells), torch.linalg.det(cells).abs()
        scaled = r[block.atoms] @ inverse
        energies = -block.alpha[:, None] / math.sqrt(math.pi) * charges**2
        total = charges.sum(dim=1, keepdim=True)
        energies = energies - math.pi / (2.0 * volume * block.alpha**2)[:, None] * total * charges
        n_frames, n_waves, _ = block.waves.shape
        step = max(CHUNK // max(n_frames * charges.shape[1], 1), 1)
        for first in range(0, n_waves, step):
            waves = block.waves[:, first : first + step]
            arguments = (waves, scaled, charges, inverse, volume, block.alpha, block.reach)
            if step < n_waves:  # kept as its arguments alone, and made again for derivatives
                energies = energies + checkpoint(_chunk, *arguments, use_reentrant=False)
            else:
                energies = energies + _chunk(*arguments)
        return energies

    def _mesh_energies(self, k: int, q: torch.Tensor, r: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """Return what torch-pme's mesh adds to all atoms for a large frame, (N,), e^2/Å."""
        settings, part = self.settings[k], slice(int(self._starts[k]), int(self._starts[k + 1]))
        pme = FixedMeshPME(settings.smearing, settings.mesh).to(self.device, self.dtype)
        charges = q[part, None]
        smooth = charges * pme.smooth_part(charges, h[k], r[part]) / COULOMB_EV_A
        return torch.zeros_like(q).index_add(
            0, torch.arange(part.start, part.stop, device=q.device), smooth[:, 0]
        )


def _chunk(
    waves: torch.Tensor,
    scaled: torch.Tensor,
    charges: torch.Tensor,
    inverse: torch.Tensor,
    volume: torch.Tensor,
    alpha: torch.Tensor,
    reach: torch.Tensor,
) -> torch.Tensor:
    """Return q_i phi_i/2 of some waves k = 2 pi n h^-T of each frame, half of k-space, (F, n)."""
    phases = 2.0 * math.pi * torch.einsum("fka,fna->fkn", waves, scaled)
    k2 = ((2.0 * math.pi * torch.einsum("fka,fba->fkb", waves, inverse)) ** 2).sum(dim=-1)
    real = k2 > 0.0  # padding has no length
    k2 = torch.where(real, k2, 1.0)
    onset = (1.0 - TAPER) * reach[:, None]
    weight = torch.exp(-k2 / (4.0 * alpha[:, None] ** 2)) / k2
    weight = weight * step_down((k2.sqrt() - onset) / (TAPER * reach[:, None]))
    weight = torch.where(real, 4.0 * math.pi / volume[:, None] * weight, 0.0)
    cos, sin = phases.cos(), phases.sin()
    re, im = (weight * torch.einsum("fkn,fn->fk", part, charges) for part in (cos, sin))
    potential = torch.einsum("fkn,fk->fn", cos, re) + torch.einsum("fkn,fk->fn", sin, im)
    return charges * potential


def step_down(x: torch.Tensor) -> torch.Tensor:
    """C2 step from 1 (x <= 0) to 0 (x >= 1), as `asennp.electrostatics.kernels.taper`."""
    x = x.clamp(0.0, 1.0)
    return 1.0 - x**3 * (10.0 + x * (6.0 * x - 15.0))
