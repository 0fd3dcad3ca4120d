"""Frames of runs under a frozen bias: what thermodynamics is read from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.io.extxyz import key_val_str_to_dict

from asennp.errors import InputError
from asennp.md.bias import WangLandauBias
from asennp.md.reweight import Blocks, ReweightResult, is_supported, log_weights, make_blocks, weighted_mean


@dataclass(frozen=True, eq=False)
class BiasedSamples:
    """Energies, volumes and orders of frames made under a frozen bias.

    Attributes
    ----------
    bias
        The bias; frozen.
    energy, volume
        U (eV) and V (Å^3) of each frame, (n,).
    orders
        Order parameters, (n, n_orders).
    walkers
        Number of the walker of each frame, (n,); frames of a walker in the order of time.
    shift
        dH of each frame, eV, (n,).
    blocks
        Of the error estimates.

    Raises
    ------
    InputError
        If the bias still learns: its frames serve exploration only.
    """

    bias: WangLandauBias
    energy: np.ndarray
    volume: np.ndarray
    orders: np.ndarray
    walkers: np.ndarray
    shift: np.ndarray
    blocks: Blocks

    @classmethod
    def from_arrays(
        cls,
        bias: WangLandauBias,
        energy: np.ndarray,
        volume: np.ndarray,
        orders: np.ndarray,
        *,
        walkers: np.ndarray | None = None,
        wl_updates: np.ndarray | None = None,
        n_blocks: int = 20,
    ) -> "BiasedSamples":
        """Build samples from arrays.

        Parameters
        ----------
        bias, energy, volume, orders, walkers
            See the class; orders may be (n,) for one order parameter.
        wl_updates
            ``info["wl_updates"]`` of the frames: checked to be this bias's, so that no frame from the time of
            learning comes in.
        n_blocks
            Blocks of the error estimates, at least.
        """
        bias.require_fixed(wl_updates)
        energy, volume = np.asarray(energy, dtype=float), np.asarray(volume, dtype=float)
        orders = np.asarray(orders, dtype=float).reshape(len(energy), bias.n_orders)
        walkers = np.zeros(len(energy), int) if walkers is None else np.asarray(walkers)
        shift = bias.shifts(energy + bias.sampled_pressure_au * volume, orders)
        blocks = make_blocks(len(energy), n_blocks, walkers)
        return cls(bias, energy, volume, orders, walkers, shift, blocks)

    def __len__(self) -> int:
        return len(self.energy)

    @property
    def enthalpy(self) -> np.ndarray:
        """H = U + P V at the run's pressure, eV, (n,)."""
        return self.enthalpy_at(None)

    def enthalpy_at(self, pressure_au: float | None) -> np.ndarray:
        """Return U + P' V, eV, (n,); the run's pressure if none is given."""
        pressure = self.bias.sampled_pressure_au if pressure_au is None else pressure_au
        return self.energy + pressure * self.volume

    def log_weights(self, temperature_K: float, pressure_au: float | None = None) -> np.ndarray:
        """Return ln w of each frame at (T, P), (n,); the largest is 0."""
        sampled = self.bias.sampled_pressure_au
        return log_weights(
            self.energy,
            self.volume,
            self.shift,
            temperature_K=temperature_K,
            pressure_au=sampled if pressure_au is None else pressure_au,
            sampled_temperature_K=self.bias.temperature_K,
            sampled_pressure_au=sampled,
        )

    def average(
        self, values: np.ndarray, temperature_K: float, pressure_au: float | None = None
    ) -> ReweightResult:
        """Return <A> at (T, P) from A of each frame; the run's pressure if none is given."""
        return weighted_mean(values, self.log_weights(temperature_K, pressure_au), self.blocks, self.enthalpy)

    def supports(self, weights: np.ndarray) -> bool:
        """Tell whether the run supports an average with these weights, see `ReweightResult`."""
        return is_supported(weights, self.blocks, self.enthalpy)


def read_samples(
    trajectories: str | Path | Sequence[str | Path],
    bias: WangLandauBias | str | Path,
    *,
    skip: int = 0,
    n_blocks: int = 20,
) -> BiasedSamples:
    """Read samples from the frames that `MOMT` wrote (extended XYZ), one file a walker.

    Only the comment lines are read: a hundred thousand frames take seconds.

    Parameters
    ----------
    trajectories
        Files.
    bias
        The frozen bias of the run, or its file.
    skip
        Frames to leave out at the beginning of each file.
    n_blocks
        Blocks of the error estimates, at least.

    Raises
    ------
    InputError
        Frames made while the bias still changed (exploration only), or that are not MOMT's.
    """
    if not isinstance(bias, WangLandauBias):
        bias = WangLandauBias.load(bias)
    paths = [trajectories] if isinstance(trajectories, (str, Path)) else list(trajectories)
    energy, volume, orders, updates, walkers = [], [], [], [], []
    for number, path in enumerate(paths):
        for comment in _comments(Path(path))[skip:]:
            info = key_val_str_to_dict(comment)
            try:
                energy.append(float(info["potential_energy"]))
                updates.append(int(info["wl_updates"]))
                orders.append(np.atleast_1d(np.asarray(info.get("order", ()), dtype=float)))
                volume.append(abs(float(np.linalg.det(np.reshape(info["Lattice"], (3, 3))))))
            except (KeyError, ValueError, TypeError) as error:
                raise InputError(
                    "a frame lacks what reweighting needs",
                    where=path,
                    expected="frames that MOMT wrote, with potential_energy and wl_updates",
                    got=repr(error),
                ) from error
            walkers.append(number)
    if not energy:
        raise InputError("no frames", where=trajectories, got=f"{skip} skipped in each file")
    return BiasedSamples.from_arrays(
        bias,
        np.array(energy),
        np.array(volume),
        np.array(orders),
        walkers=np.array(walkers),
        wl_updates=np.array(updates),
        n_blocks=n_blocks,
    )


def _comments(path: Path) -> list[str]:
    """Return the comment line of every whole frame."""
    if not path.is_file():
        raise InputError("no such file", where=path)
    found = []
    with open(path) as file:
        while line := file.readline():
            try:
                n_atoms = int(line)
            except ValueError as error:
                raise InputError(
                    "not an extended XYZ file", where=path, expected="a number of atoms", got=line[:60]
                ) from error
            comment = file.readline()
            last = ""
            for _ in range(n_atoms):
                last = file.readline()
            if last:
                found.append(comment.strip())
    return found
