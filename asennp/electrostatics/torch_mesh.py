"""torch-pme's particle-mesh sum on a mesh of a given size."""

import torch
import torchpme

from asennp.units import COULOMB_EV_A

#: Nodes of the Lagrange interpolation.
NODES = 7


class FixedMeshPME(torchpme.PMECalculator):
    """Particle-mesh sum whose mesh stays the same whatever the cell.

    torch-pme itself takes powers of two that follow from the cell's lengths, so a small strain may double a
    mesh.
    Interpolation, Fourier filter and pair terms are torch-pme's. Called like its calculators; the sum of
    charges times the result is the energy in eV.

    Parameters
    ----------
    smearing
        Width of the screening charges, Å.
    mesh
        Points along each cell vector.
    """

    def __init__(self, smearing: float, mesh: tuple[int, int, int]) -> None:
        potential = torchpme.CoulombPotential(smearing=smearing, prefactor=COULOMB_EV_A)
        super().__init__(potential, mesh_spacing=1.0, interpolation_nodes=NODES)
        self.mesh = mesh

    def _compute_kspace(
        self,
        charges: torch.Tensor,
        cell: torch.Tensor,
        positions: torch.Tensor,
        periodic: torch.Tensor | None = None,
        node_mask: torch.Tensor | None = None,
        kvectors: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the smooth part, as torch-pme asks for it."""
        return self.smooth_part(charges, cell, positions)

    def smooth_part(self, charges: torch.Tensor, cell: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Return half the smooth potential at the charges, (N, 1), without their own, eV/e."""
        size = torch.tensor(self.mesh, device=cell.device)
        self.mesh_interpolator.update(cell, size)
        self.kspace_filter.update(cell, size)
        self.mesh_interpolator.compute_weights(positions)
        on_mesh = self.kspace_filter.forward(self.mesh_interpolator.points_to_mesh(charges))
        volume = torch.linalg.det(cell).abs()
        potential = self.mesh_interpolator.mesh_to_points(on_mesh) / volume
        potential = potential - charges * self.potential.self_contribution()
        background = self.potential.background_correction() * charges.sum(dim=0) / volume
        return 0.5 * potential - background
