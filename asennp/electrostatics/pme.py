"""Coulomb sums of point charges with the help of a mesh: smooth particle-mesh Ewald."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft
from scipy.interpolate import BSpline

from asennp.electrostatics.ewald import choose_settings, ewald_seconds
from asennp.electrostatics.kernels import add_virials
from asennp.electrostatics.kernels_pme import convolve, gather, pad, spread
from asennp.electrostatics.screened import (
    LADDER,
    ScreenedSum,
    Settings,
    check_periodic,
    pair_seconds,
    reach_factor,
)
from asennp.electrostatics.sums import ChargedCell, Sums
from asennp.errors import InputError
from asennp.threads import share

#: Orders of the B-splines, each with a prefactor and growth of the mesh's error (see `mesh_error`; measured).
ORDERS = {4: (0.5, 0.0), 6: (0.11, 0.0), 8: (0.024, 5.0), 12: (0.008, 16.0)}
#: Seconds per mesh point (transforms and convolution), per atom, and per atom and point of its spline.
SECONDS_PER_POINT, SECONDS_PER_ATOM, SECONDS_PER_WEIGHT = 15e-9, 60e-9, 1.7e-9
#: Below this number of atoms Ewald's sum is always the quicker one.
SMALLEST_SYSTEM = 200
#: Largest mesh, in points.
LARGEST_MESH = 2**27


@dataclass(frozen=True)
class PMESettings:
    """Parameters of one sum: alpha (1/Å), real-space reach (Å), order of the splines, points of the mesh."""

    alpha: float
    real_cutoff: float
    order: int
    mesh: tuple[int, int, int]


def crowding(alpha: float, volume: float, n_atoms: int, lengths: tuple[float, float, float]) -> float:
    """Return alpha d with d = (V/N)^(1/3), times what thin and skewed cells add to the error.

    The images of a charge along a thin cell (L < d) all lie alike on the mesh, so their errors add up: a
    factor d/L. A wave along vectors that lean on each other meets the errors of all their axes: the root of
    |a||b||c|/V.
    """
    distance = (volume / n_atoms) ** (1.0 / 3.0)
    thin = math.prod(max(1.0, distance / length) for length in lengths)
    return alpha * distance * thin * math.sqrt(max(1.0, math.prod(lengths) / volume))


def mesh_error(order: int, alpha_h: float, crowd: float) -> float:
    """Estimate the relative force error of the mesh, at spacing h and with crowd from `crowding`.

    prefactor crowd exp(growth (alpha h)^2) (alpha h)^order bounds what was measured for random ions and
    displaced crystals in hexagonal, triclinic and rotated cells. The order is that of the method's theory;
    the largest part is the force of a charge's own images on itself, hence the first power of crowd.
    """
    prefactor, growth = ORDERS[order]
    return prefactor * crowd * math.exp(growth * alpha_h**2) * alpha_h**order


def mesh_spacing(alpha: float, crowd: float, order: int, accuracy: float) -> float:
    """Return the spacing h (Å) at which the mesh's relative force error is half the accuracy."""
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = 0.5 * (low + high)
        if mesh_error(order, middle, crowd) > 0.5 * accuracy:
            high = middle
        else:
            low = middle
    return high / alpha


def smooth_size(least: float) -> int:
    """Return the smallest integer not below `least` whose prime factors are 2, 3, 5 and 7."""
    n = max(1, math.ceil(least))
    while True:
        rest = n
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


@lru_cache(maxsize=64)
def choose_mesh(
    n_atoms: int,
    volume: float,
    lengths: tuple[float, float, float],
    accuracy: float,
    shared_cutoff: float = 0.0,
) -> tuple[PMESettings, float] | None:
    """Choose the cheapest settings for a relative force error.

    Returns them and their cost on one core, s; None where no mesh is small enough.

    Like Ewald's, the choice never looks at a clock, and its real-space reach is a step of a ladder; the
    sizes of the mesh are products of 2, 3, 5 and 7. It depends on the number of atoms and the cell
    alone, so that the same atoms always get the same sum, and all but a few cells nearby get the same mesh.
    Where a size changes, the energy jumps by less than its error.

    Parameters
    ----------
    n_atoms, volume, lengths
        Of the cell: Å^3, Å.
    accuracy
        Relative force error.
    shared_cutoff
        Pairs up to this distance, Å, are visited for other terms anyway: they cost nothing more.
    """
    x = reach_factor(accuracy, n_atoms)
    cutoffs = [LADDER**k for k in range(4, 14) if LADDER**k > shared_cutoff]
    best: tuple[PMESettings, float] | None = None
    for cutoff in [shared_cutoff, *cutoffs] if shared_cutoff > 0.0 else cutoffs:
        alpha = x / cutoff
        pairs = pair_seconds(n_atoms, volume, cutoff, shared_cutoff)
        crowd = crowding(alpha, volume, n_atoms, lengths)
        for order in ORDERS:
            spacing = mesh_spacing(alpha, crowd, order, accuracy)
            atoms = n_atoms * (SECONDS_PER_ATOM + SECONDS_PER_WEIGHT * order**3)
            least = [max(length / spacing, order) for length in lengths]
            if best is not None and pairs + atoms + SECONDS_PER_POINT * math.prod(least) >= best[1]:
                continue
            if math.prod(least) > LARGEST_MESH:
                continue
            nx, ny, nz = (smooth_size(n) for n in least)
            cost = pairs + atoms + SECONDS_PER_POINT * nx * ny * nz
            if best is None or cost < best[1]:
                best = PMESettings(alpha, cutoff, order, (nx, ny, nz)), cost
    return best


def prefer_mesh(
    cell: np.ndarray, n_atoms: int, volume: float, accuracy: float, shared_cutoff: float = 0.0
) -> bool:
    """Tell whether the mesh is expected to be quicker than Ewald's sum, by the cost model of both."""
    if n_atoms < SMALLEST_SYSTEM:
        return False
    plain = choose_settings(n_atoms, volume, accuracy, shared_cutoff)
    mesh = choose_mesh(n_atoms, volume, cell_lengths(cell), accuracy, shared_cutoff)
    return mesh is not None and mesh[1] < ewald_seconds(n_atoms, volume, plain, shared_cutoff)


@lru_cache(maxsize=32)
def spline_factors(n: int, order: int) -> np.ndarray:
    """Return the splines' part of the influence function along an axis of n points, (n,).

    With U(m) = sinc(m/n)^order, the transform of a spline, it is U(m)^2 / [sum_j U(m + j n)^2]^2, which makes
    the error least on average. The sum over images is the cosine sum of the spline of twice the order. It
    depends on the integers of a wave vector alone, and so holds for any shape of the cell. The mode
    halfway round an even axis has no sign: it is left out.
    """
    m = np.arange(n)
    m = np.where(2 * m < n, m, m - n)
    knots = np.arange(2 * order + 1.0)
    values = BSpline.basis_element(knots, extrapolate=False)(knots[1:-1])
    images = np.cos(2.0 * math.pi / n * np.outer(m, knots[1:-1] - order)) @ values
    factors: np.ndarray = np.sinc(m / n) ** (2 * order) / images**2
    if n % 2 == 0:
        factors[n // 2] = 0.0
    factors.setflags(write=False)
    return factors


def cell_lengths(cell: np.ndarray) -> tuple[float, float, float]:
    """Return the lengths of the cell vectors, rounded so that a rotated cell has the same."""
    a, b, c = (round(math.sqrt(x * x + y * y + z * z), 9) for x, y, z in cell.tolist())
    return a, b, c


class PME(ScreenedSum):
    """Smooth particle-mesh Ewald sum at a stated accuracy, with tin-foil boundaries.

    The sum is that of `asennp.electrostatics.ewald.Ewald`, but its reciprocal part is
    E = (1/2) sum_k phi(k) |Q(k)|^2, with Q the transform of the charges spread over a mesh by B-splines, and
    phi the influence function of least average error (see `spline_factors`). Forces are its exact
    gradient, by the slopes of the splines, and the virial its exact strain derivative at a fixed mesh.
    Therefore energy is conserved and sum(e_i) = E; the price, as in any such scheme, is a net force on
    the cell, of the size of the error. It is left in: taking it out would spoil the gradient.

    Parameters
    ----------
    accuracy
        Relative error of the forces, as for `Ewald`.
    shared_cutoff
        Distance, Å, up to which the caller visits all pairs anyway; it enters the choice of the settings.
    threads
        Threads of one sum; the results do not depend on it.

    References
    ----------
    U. Essmann et al., J. Chem. Phys. 103, 8577 (1995), doi:10.1063/1.470117; V. Ballenegger,
    J. J. Cerdà, C. Holm, J. Chem. Theory Comput. 8, 936 (2012), doi:10.1021/ct2001792.
    """

    method = "pme"

    def choose(self, cell: np.ndarray, n_atoms: int, volume: float, pbc: np.ndarray) -> Settings | None:
        """Return the settings for a periodic cell, and remember them."""
        if not check_periodic(pbc):
            raise InputError(
                "mesh sums need a cell periodic in three or two directions",
                where="atoms.pbc",
                got=np.asarray(pbc).tolist(),
                do="use method='ewald'",
            )
        return super().choose(cell, n_atoms, volume, pbc)

    def _choose(self, cell: np.ndarray, n_atoms: int, volume: float) -> PMESettings:
        chosen = choose_mesh(n_atoms, volume, cell_lengths(cell), self.accuracy, self.shared_cutoff)
        if chosen is None:
            raise InputError(
                "the mesh would be too large",
                where="accuracy",
                expected=f"at most {LARGEST_MESH} points",
                got=self.accuracy,
                do="ask for less accuracy, or use method='ewald'",
            )
        return chosen[0]

    def _serves(self, settings: PMESettings, cell: np.ndarray, n_atoms: int, volume: float) -> bool:
        """Tell whether a mesh is still fine enough; it was chosen for half the error that is allowed."""
        lengths = cell_lengths(cell)
        spacing = max(length / n for length, n in zip(lengths, settings.mesh))
        crowd = crowding(settings.alpha, volume, n_atoms, lengths)
        return mesh_error(settings.order, settings.alpha * spacing, crowd) <= self.accuracy

    def add_smooth(self, charged: ChargedCell, out: Sums) -> None:
        """Add the mesh sum, in e^2/Å; the virial in its upper triangle."""
        assert isinstance(self.settings, PMESettings)
        positions, cell, volume, charges = charged
        alpha, order, size = self.settings.alpha, self.settings.order, self.settings.mesh
        inverse, like, threads = np.linalg.inv(cell), (0,) * order, self.threads
        reciprocal = 2.0 * math.pi * inverse.T
        f0, f1, f2 = (spline_factors(n, order) for n in size)
        mesh, virials = np.empty(size), np.zeros((size[0], 6))
        share(threads, size[0], lambda a, b: spread(a, b, positions, inverse, charges, like, mesh))
        modes = fft.rfftn(mesh, workers=threads)
        share(
            threads,
            size[0],
            lambda a, b: convolve(a, b, modes, reciprocal, volume, alpha, size, (f0, f1, f2), virials),
        )
        potential = fft.irfftn(modes, size, norm="forward", overwrite_x=True, workers=threads)
        padded = np.empty((*size[:2], size[2] + order))
        share(threads, size[0], lambda a, b: pad(a, b, potential, padded))
        share(
            threads,
            len(positions),
            lambda a, b: gather(
                a, b, positions, inverse, charges, size, padded, like, out.energies, out.forces
            ),
        )
        add_virials(virials, out.virial)
