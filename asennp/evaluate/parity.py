"""Predictions against labels: energy per atom, forces and stress."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ase import Atoms

from asennp.errors import InputError
from asennp.evaluate.calibration import CalibrationResult, compute_calibration
from asennp.results import Result
from asennp.units import EV_A3_MPA


@dataclass(frozen=True, eq=False)
class Predictions(Result):
    """What a potential gives for frames, in ASE's units.

    Attributes
    ----------
    energies
        (n,) total energies, eV.
    forces
        n arrays (N,3), eV/Å.
    stress
        (n,6), eV/Å^3, Voigt order; None where it was not computed.
    energies_std, forces_std, stress_std
        Standard deviations over a committee's members, of the same shapes; None without a committee.
    """

    energies: np.ndarray
    forces: list[np.ndarray]
    stress: np.ndarray | None = None
    energies_std: np.ndarray | None = None
    forces_std: list[np.ndarray] | None = None
    stress_std: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Errors(Result):
    """Errors of one quantity; mae, rmse, bias and max are in `unit`.

    Attributes
    ----------
    mae, rmse, max
        Mean absolute, root mean square and largest absolute error.
    bias
        Mean error, predicted less reference.
    r2
        Coefficient of determination, 1 - SS_res/SS_tot; NaN where the reference does not vary.
    n
        Number of values compared.
    unit
        "meV/atom", "meV/Å" or "MPa".
    """

    mae: float
    rmse: float
    max: float
    bias: float
    r2: float
    n: int
    unit: str


@dataclass(frozen=True, eq=False)
class ParityResult(Result):
    """Errors against labels, and the values themselves for plots.

    Attributes
    ----------
    energy, forces, stress
        Errors of the energy per atom (meV/atom), of force components (meV/Å) and of stress components
        (MPa, six a frame); None where the frames carry no such label.
    groups
        {group: {"energy" | "forces" | "stress": Errors}} by ``info["group"]``.
    species
        {symbol: Errors} of force components.
    shift_removed
        Whether the mean energy error was taken out first.
    shift_meV
        That mean (meV/atom, predicted less reference); what was, or would be, removed.
    n_frames, n_atoms
        Sizes of the test set.
    energy_reference, energy_predicted
        (n,) eV/atom, before any shift.
    forces_reference, forces_predicted
        (3 n_atoms,) eV/Å.
    stress_reference, stress_predicted
        (6 n,) MPa.
    calibration
        {"energy" | "forces" | "stress": the committee's spread beside its error}; empty without a committee.
    """

    energy: Errors | None
    forces: Errors | None
    stress: Errors | None
    groups: dict[str, dict[str, Errors]]
    species: dict[str, Errors]
    shift_removed: bool
    shift_meV: float
    n_frames: int
    n_atoms: int
    energy_reference: np.ndarray = field(repr=False)
    energy_predicted: np.ndarray = field(repr=False)
    forces_reference: np.ndarray = field(repr=False)
    forces_predicted: np.ndarray = field(repr=False)
    stress_reference: np.ndarray = field(repr=False)
    stress_predicted: np.ndarray = field(repr=False)
    calibration: dict[str, CalibrationResult] = field(default_factory=dict)


def predict(frames: Sequence[Atoms], calculator: Any) -> Predictions:
    """Evaluate a calculator on every frame; frames are not changed.

    Spreads come from ``calculator.committee``, where it has one of several members.
    """
    energies, forces, stresses = [], [], []
    committees: list[Any] = []
    periodic = all(frame.pbc.all() for frame in frames)
    for frame in frames:
        atoms = Atoms(frame.symbols, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)
        atoms.calc = calculator
        energies.append(float(atoms.get_potential_energy()))
        forces.append(np.array(atoms.get_forces()))
        if periodic:
            stresses.append(np.array(atoms.get_stress(voigt=True)))
        committees.append(getattr(calculator, "committee", None))
    agree = all(c is None or not np.any(c.forces_std) for c in committees)  # none, or a single member
    return Predictions(
        np.array(energies),
        forces,
        np.array(stresses) if periodic else None,
        None if agree else np.array([c.energy_std for c in committees]),
        None if agree else [np.array(c.forces_std) for c in committees],
        None if agree or not periodic else np.array([c.stress_std for c in committees]),
    )


def compute_errors(reference: np.ndarray, predicted: np.ndarray, unit: str) -> Errors:
    """Compare two arrays of one shape, already in `unit`."""
    reference, predicted = np.ravel(reference), np.ravel(predicted)
    error = predicted - reference
    spread = float(((reference - reference.mean()) ** 2).sum())
    return Errors(
        mae=float(np.abs(error).mean()),
        rmse=float(np.sqrt((error**2).mean())),
        max=float(np.abs(error).max()),
        bias=float(error.mean()),
        r2=1.0 - float((error**2).sum()) / spread if spread > 0.0 else float("nan"),
        n=int(error.size),
        unit=unit,
    )


def _labels(frames: Sequence[Atoms], key: str, per_atom: bool) -> list[np.ndarray] | None:
    """Return a label of all frames, None where no frame has it; some having it is an error."""
    values = [(f.arrays if per_atom else f.info).get(key) for f in frames]
    missing = [k for k, value in enumerate(values) if value is None]
    if len(missing) == len(frames):
        return None
    if missing:
        raise InputError(
            f"{key} is missing on {len(missing)} of {len(frames)} frames",
            where=f"frame {missing[0]}",
            do="leave unlabelled frames out",
        )
    return [np.asarray(value, float) for value in values]


def _require_shapes(frames: Sequence[Atoms], predictions: Predictions) -> None:
    n = len(frames)
    sizes = [len(frame) for frame in frames]
    if n == 0:
        raise InputError("no frames", where="frames")
    if len(predictions.energies) != n or [len(f) for f in predictions.forces] != sizes:
        raise InputError(
            "predictions do not belong to these frames",
            where="predictions",
            expected=f"{n} energies and forces of the frames' atoms",
            got=f"{len(predictions.energies)} energies, {len(predictions.forces)} arrays of forces",
        )


@dataclass(frozen=True)
class _Pairs:
    """Reference and predicted values in reporting units, with the frame each value belongs to."""

    reference: np.ndarray
    predicted: np.ndarray
    frame: np.ndarray
    unit: str
    spread: np.ndarray | None

    def errors(self, mask: np.ndarray | None = None) -> Errors:
        chosen = slice(None) if mask is None else mask
        return compute_errors(self.reference[chosen], self.predicted[chosen], self.unit)

    def calibration(self) -> CalibrationResult | None:
        if self.spread is None or np.count_nonzero(self.spread) < 2:
            return None
        return compute_calibration(self.predicted - self.reference, self.spread, self.unit)


def _collect(frames: Sequence[Atoms], predictions: Predictions, energy_key: str) -> dict[str, _Pairs]:
    """Pair labels with predictions, quantity by quantity, in meV/atom, meV/Å and MPa."""
    sizes = np.array([len(frame) for frame in frames])
    index = np.arange(len(frames))
    pairs = {}
    p = predictions
    if (labels := _labels(frames, energy_key, per_atom=False)) is not None:
        energies = 1000.0 * np.array(p.energies) / sizes
        spread = None if p.energies_std is None else 1000.0 * p.energies_std / sizes
        pairs["energy"] = _Pairs(1000.0 * np.array(labels) / sizes, energies, index, "meV/atom", spread)
    if (labels := _labels(frames, "REF_forces", per_atom=True)) is not None:
        forces = 1000.0 * np.concatenate(p.forces).ravel()
        spread = None if p.forces_std is None else 1000.0 * np.concatenate(p.forces_std).ravel()
        by_atom = np.repeat(index, 3 * sizes)
        pairs["forces"] = _Pairs(1000.0 * np.concatenate(labels).ravel(), forces, by_atom, "meV/Å", spread)
    labels = _labels(frames, "REF_stress", per_atom=False)
    if labels is not None and p.stress is not None:
        stress = EV_A3_MPA * np.ravel(p.stress)
        spread = None if p.stress_std is None else EV_A3_MPA * np.ravel(p.stress_std)
        pairs["stress"] = _Pairs(EV_A3_MPA * np.ravel(labels), stress, np.repeat(index, 6), "MPa", spread)
    if not pairs:
        raise InputError("frames carry no labels", where="frames", expected=f"{energy_key}, REF_forces, ...")
    return pairs


def compute_parity(
    frames: Sequence[Atoms],
    calculator: Any = None,
    *,
    predictions: Predictions | None = None,
    remove_shift: bool = False,
    group_key: str = "group",
    energy_key: str = "REF_energy",
) -> ParityResult:
    """Compare a potential with the labels of frames (keys REF_energy, REF_forces, REF_stress).

    Parameters
    ----------
    frames
        Labelled frames; a label that only some frames carry is refused.
    calculator, predictions
        Give one: any ASE calculator, or what `predict` returned (frames in the same order).
    remove_shift
        Take the mean error of the energy per atom out first. The result says so.
    group_key
        Frames are grouped by ``info[group_key]``, or ``info["phase"]`` where that is missing.
    energy_key
        "REF_energy", or "REF_free_energy".

    Raises
    ------
    InputError
        No frames, no labels, a label on some frames only, or predictions of other frames.
    """
    if (calculator is None) == (predictions is None):
        raise InputError(
            "give a calculator or predictions", where="compute_parity", expected="one of the two"
        )
    if predictions is None:
        predictions = predict(frames, calculator)
    _require_shapes(frames, predictions)
    pairs = _collect(frames, predictions, energy_key)
    raw, shift = pairs.get("energy"), 0.0
    if raw is not None:
        shift = float(np.mean(raw.predicted - raw.reference))
        if remove_shift:
            pairs["energy"] = replace(raw, predicted=raw.predicted - shift)
    names = np.array([str(f.info.get(group_key, f.info.get("phase", ""))) for f in frames])
    groups = {
        str(name): {what: p.errors((names == name)[p.frame]) for what, p in pairs.items()}
        for name in np.unique(names)
        if name
    }
    empty = np.zeros(0)
    forces, stress = pairs.get("forces"), pairs.get("stress")
    symbols = np.repeat(np.concatenate([np.array(f.get_chemical_symbols()) for f in frames]), 3)
    return ParityResult(
        energy=pairs["energy"].errors() if raw is not None else None,
        forces=forces.errors() if forces is not None else None,
        stress=stress.errors() if stress is not None else None,
        groups=groups,
        species={str(s): forces.errors(symbols == s) for s in np.unique(symbols)} if forces else {},
        shift_removed=remove_shift,
        shift_meV=shift,
        n_frames=len(frames),
        n_atoms=int(sum(len(f) for f in frames)),
        energy_reference=raw.reference / 1000.0 if raw is not None else empty,
        energy_predicted=raw.predicted / 1000.0 if raw is not None else empty,
        forces_reference=forces.reference / 1000.0 if forces is not None else empty,
        forces_predicted=forces.predicted / 1000.0 if forces is not None else empty,
        stress_reference=stress.reference if stress is not None else empty,
        stress_predicted=stress.predicted if stress is not None else empty,
        calibration={what: found for what, p in pairs.items() if (found := p.calibration()) is not None},
    )
