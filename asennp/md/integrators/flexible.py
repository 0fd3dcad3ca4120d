"""A cell that changes its shape: all six components, or chosen ones, inside a limit of shape."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from asennp.errors import InputError, nearest
from asennp.md.integrators.cells import CellMotion
from asennp.md.kernels import exponential

#: Places in v of the cell's components: row vectors, r <- r (1 + v), so xy tilts b along x.
_PLACES = {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "yz": (2, 1), "xz": (2, 0), "xy": (1, 0)}
#: Steepness of the wall at the limit of shape, in kT.
_WALL = 44.0


class FlexibleCell(CellMotion):
    """Martyna, Tobias and Klein's flexible cell; row vectors, v = p_g/W.

        dr/dt = p/m + r v,      dp/dt = F - p v^T - (tr v/N_f) p,      dh/dt = h v
        dp_g/dt = sum p p/m + (sum p^2/m)/N_f I + virial

    With every component free p_g is symmetric, so the cell does not spin. With `components` v is lower
    triangular and has those alone: "xx" is the length of **a** along x, "xy" the tilt of **b** along x.

    Measure: V^(N-1) dV (V^N dV with N_f = 3N) times the invariant measure of shapes, d^9h/V^3. For chosen
    components it is V^(N-1) prod_k h_kk^(1 - n_k) prod dh, with n_k the number of free components in row k,
    over the rows whose h_kk is free: flat in h_xx and h_xy for ("xx", "xy"). The triangular matrices are not
    a unimodular group, so this takes a constant force on the diagonal, kT (m_k - n_k), with m_k the number
    of free components in column k.

    Limit of shape: with F = h_0^-1 h and B = F^T F/det(F)^(2/3), s = sqrt((tr B - 3)/2) is close to the norm
    of the deviatoric strain. A liquid resists no change of shape, so a free run would make a needle of its
    cell. Beyond `shape_limit` the wall 44 kT (s^2/s_max^2 - 1)^3 sends it back, smoothly and as part of the
    conserved quantity; inside the limit it is zero, and the ensemble as above.

    Parameters
    ----------
    atoms, n_dof, kT, damping
        See `CellMotion`; the mass of each component is W = (N_f + 3) kT tau^2/3.
    components
        Free components, of xx, yy, zz, yz, xz, xy; all if not given.
    shape_limit
        s_max, relative to the cell at the start.

    References
    ----------
    Martyna, Tobias, Klein, J. Chem. Phys. 101 (1994) 4177, doi:10.1063/1.467468.
    """

    def __init__(
        self,
        atoms: Atoms,
        n_dof: int,
        kT: float,
        damping: float,
        components: Sequence[str] | None = None,
        shape_limit: float = 0.5,
    ) -> None:
        super().__init__(atoms, n_dof, kT, damping)
        self.components = None if components is None else _check_components(components, atoms)
        if shape_limit <= 0.0:
            raise InputError("must be positive", where="shape_limit", got=shape_limit)
        self.shape_limit = float(shape_limit)
        self.mass = (n_dof + 3) * kT * damping**2 / 3.0
        self.momentum = np.zeros((3, 3))
        self.n_piston = 6 if self.components is None else len(self.components)
        self._kicks_beyond = 0
        self._inverse_start = np.linalg.inv(atoms.cell.array)
        self._free = np.zeros((3, 3))
        for name in self.components or ():
            self._free[_PLACES[name]] = 1.0
        diagonal = np.diag(self._free)
        self._entropy = kT * diagonal * (self._free.sum(axis=0) - self._free.sum(axis=1))

    def piston_force(self, virial: np.ndarray, flux: np.ndarray) -> np.ndarray:
        """Return dp_g/dt from the virial and the kinetic flux sum p p/m, both (3, 3), eV."""
        force: np.ndarray = flux + virial
        force = 0.5 * (force + force.T)
        trace = flux[0, 0] + flux[1, 1] + flux[2, 2]
        force.flat[::4] += trace / self.n_dof + self._entropy
        return force if self.components is None else force * self._free

    def kick_piston(self, virial: np.ndarray | None, time: float) -> None:
        """Advance p_g."""
        assert virial is not None
        momenta = self.atoms.arrays["momenta"]
        flux = momenta.T @ (momenta * self.inverse_masses)
        height, push = self._wall()
        if height > 0.0:
            self._kicks_beyond += 1
            virial = virial + push
        self.momentum += time * self.piston_force(virial, flux)

    def kick_particles(self, forces: np.ndarray, time: float) -> None:
        """Advance p: half the drag, the force, half the drag."""
        momenta = self.atoms.arrays["momenta"]
        v = self.momentum / self.mass
        drag = v.T.copy()
        drag.flat[::4] += (v[0, 0] + v[1, 1] + v[2, 2]) / self.n_dof
        factor = exponential(drag, -0.5 * time)
        momenta[...] = (momenta @ factor + time * forces) @ factor

    def drift(self, time: float) -> None:
        """Advance r and h: half the path, the stretch, half the path."""
        positions = self.atoms.arrays["positions"]
        stretch = exponential(self.momentum / self.mass, time)
        path = (0.5 * time) * (self.atoms.arrays["momenta"] * self.inverse_masses)
        positions[...] = (positions + path) @ stretch + path
        self.atoms.cell.array[...] = self.atoms.cell.array @ stretch

    def _shape(self) -> np.ndarray:
        """Return B = F^T F/det(F)^(2/3)."""
        F = self._inverse_start @ self.atoms.cell.array
        B: np.ndarray = F.T @ F
        return B / abs(np.linalg.det(F)) ** (2.0 / 3.0)

    def _wall(self) -> tuple[float, np.ndarray]:
        """Return the wall's energy (eV) and its -d/deps (3, 3)."""
        B = self._shape()
        limit = self.shape_limit**2
        excess = 0.5 * (B[0, 0] + B[1, 1] + B[2, 2] - 3.0) / limit - 1.0
        if excess <= 0.0:
            return 0.0, np.zeros((3, 3))
        slope = 3.0 * _WALL * self.kT * excess**2 / limit
        deviator = B - np.eye(3) * (np.trace(B) / 3.0)
        return _WALL * self.kT * excess**3, -slope * deviator

    def shape_strain(self) -> float:
        """Return s, how far the shape is from that at the start."""
        return float(np.sqrt(max(0.0, 0.5 * (np.trace(self._shape()) - 3.0))))

    @property
    def n_beyond(self) -> int:
        """Steps spent beyond the limit of shape: there the wall acts, and frames are not the ensemble's."""
        return self._kicks_beyond // 2  # two kicks a step

    def twice_kinetic(self) -> float:
        """Return sum p_g^2/W, eV."""
        return float(np.vdot(self.momentum, self.momentum)) / self.mass

    def scale(self, factor: float) -> None:
        """Multiply p_g."""
        self.momentum *= factor

    def refresh(self, memory: float, rng: np.random.Generator) -> None:
        """Mix p_g with noise."""
        noise = rng.standard_normal((3, 3))
        # a symmetric pair is one degree of freedom: half the variance in each of its places
        noise = 0.5 * (noise + noise.T) if self.components is None else noise * self._free
        self.momentum *= memory
        self.momentum += np.sqrt((1.0 - memory**2) * self.kT * self.mass) * noise

    def energy(self) -> float:
        """Return kinetic energy, wall and measure term, eV."""
        logarithms = np.log(np.abs(np.diag(self.atoms.cell.array))) if self._entropy.any() else np.zeros(3)
        return 0.5 * self.twice_kinetic() + self._wall()[0] - float(self._entropy @ logarithms)

    def state(self) -> dict[str, Any]:
        """Return p_g, the cell that shapes are measured from, and the count."""
        return {
            "momentum": self.momentum.tolist(),
            "inverse_start": self._inverse_start.tolist(),
            "kicks_beyond": self._kicks_beyond,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Put `state`'s variables back."""
        self.momentum = np.array(state["momentum"])
        self._inverse_start = np.array(state["inverse_start"])
        self._kicks_beyond = int(state["kicks_beyond"])


def _check_components(components: Sequence[str], atoms: Atoms) -> tuple[str, ...]:
    """Return the names in Voigt order, or raise InputError."""
    names = (components,) if isinstance(components, str) else tuple(components)
    for name in names:
        if name not in _PLACES:
            raise InputError(
                "no such component of the cell", where="mask", got=name, do=nearest(name, _PLACES)
            )
    if not names:
        raise InputError("no component is free", where="mask", do="choose a fixed-cell integrator")
    if "xy" in names and "yz" in names and "xz" not in names:
        raise InputError(
            "xy and yz together tilt the cell along xz too", where="mask", got=names, do='add "xz"'
        )
    shears = [name for name in names if name[0] != name[1]]
    above = atoms.cell.array[np.triu_indices(3, 1)]
    if shears and np.abs(above).max() > 1e-9 * np.abs(atoms.cell.array).max():
        raise InputError(
            "tilts are meant for a along x and b in the xy plane",
            where="atoms.cell",
            expected="a lower triangular cell",
            got=atoms.cell.array.round(6).tolist(),
            do="rotate it: atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)",
        )
    return tuple(name for name in _PLACES if name in names)
