"""Quantum ESPRESSO's pw.x through ASE, with the energy that a potential should learn."""

import re
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from ase import Atoms, units
from ase.calculators.espresso import Espresso, EspressoProfile

from asennp.errors import InputError

#: The settings of the ZnO papers: 80/500 Ry, Gaussian smearing of 0.011 Ry, D3, 1e-8 Ry.
PAPER_INPUT: dict[str, dict[str, Any]] = {
    "control": {"calculation": "scf", "tprnfor": True, "tstress": True, "disk_io": "none"},
    "system": {
        "ecutwfc": 80.0,
        "ecutrho": 500.0,
        "occupations": "smearing",
        "smearing": "gaussian",
        "degauss": 0.011,
        "vdw_corr": "dft-d3",
    },
    "electrons": {"conv_thr": 1e-8, "electron_maxstep": 200, "mixing_beta": 0.4},
}


class SmearingFreeEspresso(Espresso):
    """pw.x whose ``energy`` is without the smearing term.

    pw.x prints the free energy F = E - TS as "total energy"; forces and stress belong to it. Here
    ``free_energy`` is F and ``energy`` is E = F - (-TS).

    Parameters
    ----------
    pseudo_dir
        Folder of the UPF files.
    pseudopotentials
        {element: file name}.
    input_data
        Sections of the input that replace or extend `PAPER_INPUT`.
    command
        How to start pw.x.
    directory
        Where it works; a temporary folder if not given.
    arguments
        Others of ASE's calculator; unless k points are among them, ``kspacing`` is 0.06 1/Å (without
        2 pi), a 2x2x2 grid for 64 atoms of ZnO.

    Raises
    ------
    InputError
        pw.x or a pseudopotential is not there, or the calculation did not converge.
    """

    def __init__(
        self,
        pseudo_dir: str,
        pseudopotentials: dict[str, str],
        input_data: dict[str, dict[str, Any]] | None = None,
        command: str = "pw.x",
        directory: str | None = None,
        **arguments: Any,
    ) -> None:
        program = command.split()[-1]
        if shutil.which(program) is None:
            raise InputError(
                f"no program {program!r}", where="command", do="apt-get install quantum-espresso, or its path"
            )
        folder = Path(pseudo_dir).expanduser().resolve()
        for element, name in pseudopotentials.items():
            if not (folder / name).is_file():
                raise InputError(f"no pseudopotential of {element}", where=folder / name, do="set pseudo_dir")
        sections = {
            name: {**PAPER_INPUT.get(name, {}), **(input_data or {}).get(name, {})}
            for name in {*PAPER_INPUT, *(input_data or {})}
        }
        if directory is None:
            directory = tempfile.mkdtemp(prefix="asennp-pw-")
            weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        super().__init__(
            profile=EspressoProfile(command=command, pseudo_dir=str(folder)),
            directory=directory,
            pseudopotentials=pseudopotentials,
            input_data=sections,
            **({} if {"kpts", "kspacing"} & set(arguments) else {"kspacing": 0.06}),
            **arguments,
        )

    def calculate(self, atoms: Atoms, properties: Any, system_changes: Any) -> None:
        """Run pw.x once and separate the smearing term."""
        super().calculate(atoms, properties, system_changes)
        text = (Path(self.directory) / "espresso.pwo").read_text()
        if "convergence has been achieved" not in text or "convergence NOT achieved" in text:
            raise InputError("the self-consistent field did not converge", where=self.directory)
        free_energy = float(self.results["energy"])
        self.results = {
            **self.results,
            "free_energy": free_energy,
            "energy": free_energy - smearing_term(text),
        }


def smearing_term(output: str) -> float:
    """Return the last smearing contribution -TS of a pw.x output (eV); 0 for fixed occupations."""
    found = re.findall(r"smearing contrib\. \(-TS\)\s*=\s*(\S+)\s+Ry", output)
    return float(found[-1]) * units.Ry if found else 0.0
