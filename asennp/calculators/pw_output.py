"""The text output of pw.x: what was reached, and energies, forces and stress in ASE's units and signs."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import units

_RY_A = units.Ry / units.Bohr
_RY_A3 = units.Ry / units.Bohr**3
_NUMBER = r"[-+]?\d+\.?\d*(?:[EeDd][-+]?\d+)?"


@dataclass(frozen=True, eq=False)
class PwOutput:
    """One self-consistent calculation as pw.x printed it.

    Units are those of `ase.units` (CODATA 2014); ASE's own reader of this format has those of 2006, a
    relative difference of 8e-8 in the energy.

    Attributes
    ----------
    status
        "done"; "not converged" (the self-consistent field); "stopped" (on request or at max_seconds, to be
        continued); "failed" (pw.x says why: `message`); "unfinished" (killed, or still running).
    message
        The error block of pw.x, if any.
    free_energy
        F = E - TS, printed as "total energy", eV; None before the first iteration has ended.
    energy
        E = F - (-TS), without the smearing term, eV.
    forces
        -dF/dr, eV/Å, shape (N, 3), or None.
    stress
        +(1/V) dF/deps, eV/Å^3, (6,) in Voigt order xx yy zz yz xz xy, or None.
    n_iterations
        Of the self-consistent field.
    n_bands
        Kohn-Sham states.
    version
        Of pw.x.
    """

    status: str
    message: str
    free_energy: float | None
    energy: float | None
    forces: np.ndarray | None
    stress: np.ndarray | None
    n_iterations: int
    n_bands: int
    version: str


def read_pw_output(path: str | Path) -> PwOutput:
    """Read the output of one pw.x calculation, finished or not.

    Of several self-consistent fields (a relaxation) the last counts.
    """
    text = Path(path).read_text(errors="replace")
    free_energy = _last_number(text, rf"^!\s+total energy\s+=\s*({_NUMBER})\s+Ry", units.Ry)
    smearing = _last_number(text, rf"smearing contrib\. \(-TS\)\s*=\s*({_NUMBER})\s+Ry", units.Ry)
    if free_energy is None:  # not converged: the last iteration's
        free_energy = _last_number(text, rf"^\s+total energy\s+=\s*({_NUMBER})\s+Ry", units.Ry)
    status, message = _status(text)
    return PwOutput(
        status=status,
        message=message,
        free_energy=free_energy,
        # fixed occupations print no smearing term
        energy=None if free_energy is None else free_energy - (smearing or 0.0),
        forces=_forces(text),
        stress=_stress(text),
        n_iterations=len(re.findall(r"^\s+iteration #", text, re.MULTILINE)),
        n_bands=int(_last_number(text, r"number of Kohn-Sham states\s*=\s*(\d+)") or 0),
        version="".join(re.findall(r"Program PWSCF v\.(\S+)", text)[:1]),
    )


def _status(text: str) -> tuple[str, str]:
    block = re.search(r"%{10,}\n(.*?)\n\s*%{10,}", text, re.DOTALL)
    if block:
        return "failed", " ".join(block.group(1).split())
    if "convergence NOT achieved" in text:
        return "not converged", ""
    if "Calculation stopped in" in text or "Maximum CPU time exceeded" in text:
        return "stopped", ""
    if "JOB DONE." in text and "convergence has been achieved" in text:
        return "done", ""
    return "unfinished", ""


def _last_number(text: str, pattern: str, unit: float = 1.0) -> float | None:
    found = re.findall(pattern, text, re.MULTILINE)
    return float(found[-1].lower().replace("d", "e")) * unit if found else None


def _forces(text: str) -> np.ndarray | None:
    start = text.rfind("Forces acting on atoms")
    if start < 0:
        return None
    # the total comes first; contributions, printed at high verbosity, follow behind a line of words
    lines = text[start:].splitlines()[1:]
    rows: list[list[float]] = []
    for line in lines:
        match = re.match(
            rf"\s+atom\s+\d+\s+type\s+\d+\s+force\s*=\s*({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})", line
        )
        if match:
            rows.append([float(value) for value in match.groups()])
        elif rows:
            break
    return np.array(rows) * _RY_A if rows else None


def _stress(text: str) -> np.ndarray | None:
    start = text.rfind("total   stress")
    if start < 0:
        return None
    rows = [line.split()[:3] for line in text[start:].splitlines()[1:4]]
    try:
        matrix = np.array(rows, dtype=float)
    except ValueError:  # the run was killed while it printed
        return None
    if matrix.shape != (3, 3):
        return None
    # pw.x prints the pressure tensor's sign: a compressed crystal is positive
    stress: np.ndarray = -matrix.ravel()[[0, 4, 8, 5, 2, 1]] * _RY_A3
    return stress
