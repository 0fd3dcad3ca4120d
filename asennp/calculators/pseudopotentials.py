"""Pseudopotential files of pw.x: found by element, read for what they suggest, checked together."""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from asennp.errors import InputError
from asennp.files import sha256_file

#: Bytes of a UPF file that hold its header.
_HEADER_BYTES = 200_000


@dataclass(frozen=True)
class Pseudopotential:
    """What the header of a UPF file says.

    Attributes
    ----------
    path
        The file.
    element
        Chemical symbol.
    functional
        Exchange-correlation functional in Quantum ESPRESSO's short names, "SLA PW PBX PBC" for PBE.
    n_valence
        Valence electrons.
    ecutwfc, ecutrho
        Suggested cut-offs of wave functions and density, Ry; 0 where the file gives none.
    sha256
        Of the whole file.
    """

    path: Path
    element: str
    functional: str
    n_valence: float
    ecutwfc: float
    ecutrho: float
    sha256: str


#: Other names that headers use for the four parts of a functional.
_SHORT_FUNCTIONALS = {
    "PBE": "SLA PW PBX PBC",
    "SLA PW PBE PBE": "SLA PW PBX PBC",
    "PBESOL": "SLA PW PSX PSC",
    "PZ": "SLA PZ NOGX NOGC",
}


def read_pseudopotential(path: str | Path) -> Pseudopotential:
    """Read the header of a UPF file (version 2).

    Raises
    ------
    InputError
        If there is no such file or it has no UPF header.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such pseudopotential", where=path, do="set pseudo_dir, or mend the table")
    with open(path, "rb") as file:
        text = file.read(_HEADER_BYTES).decode(errors="replace")
    header = re.search(r"<PP_HEADER(.*?)/?>", text, re.DOTALL)
    values = dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', header.group(1))) if header else {}
    try:
        functional = " ".join(values["functional"].upper().split())
        return Pseudopotential(
            path=path,
            element=values["element"].strip(),
            functional=_SHORT_FUNCTIONALS.get(functional, functional),
            n_valence=float(values["z_valence"]),
            ecutwfc=float(values.get("wfc_cutoff", 0.0)),
            ecutrho=float(values.get("rho_cutoff", 0.0)),
            sha256=sha256_file(path),
        )
    except (KeyError, ValueError) as error:
        raise InputError(
            "this is no UPF file of version 2", where=path, got=f"{type(error).__name__}: {error}"
        ) from None


def find_pseudopotentials(
    folder: str | Path, table: Mapping[str, Any] | str | Path | None = None
) -> dict[str, Pseudopotential]:
    """Return the pseudopotential of each element.

    Parameters
    ----------
    folder
        Where the UPF files lie.
    table
        ``{element: file name}``, or ``{element: {file: name, sha256: ...}}``, or a YAML file of that form;
        without one, every UPF file of the folder serves for its element.

    Raises
    ------
    InputError
        For a missing folder or file, two files for one element, a file of another element, a file whose
        SHA-256 is not the table's, and files of different functionals.
    """
    folder = Path(folder).expanduser().resolve()
    if not folder.is_dir():
        raise InputError("no such folder of pseudopotentials", where=folder, do="set pseudo_dir")
    if table is None:
        found = _by_element(folder)
    else:
        if isinstance(table, (str, Path)):
            table = _read_table(Path(table))
        found = {element: _listed(folder, element, entry) for element, entry in table.items()}
    functionals = {p.functional for p in found.values()}
    if len(functionals) > 1:
        raise InputError(
            "pseudopotentials of different functionals",
            where=folder,
            got={element: p.functional for element, p in found.items()},
            do="choose files made with one functional",
        )
    return found


def _by_element(folder: Path) -> dict[str, Pseudopotential]:
    found: dict[str, Pseudopotential] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() == ".upf"):
        one = read_pseudopotential(path)
        if one.element in found:
            raise InputError(
                f"two pseudopotentials of {one.element}",
                where=folder,
                got=[found[one.element].path.name, path.name],
                do="name one in the table pseudopotentials={element: file}",
            )
        found[one.element] = one
    if not found:
        raise InputError("no UPF files here", where=folder, do="set pseudo_dir")
    return found


def _read_table(path: Path) -> Mapping[str, Any]:
    try:
        table = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise InputError("cannot read the table of pseudopotentials", where=path, got=str(error)) from None
    if not isinstance(table, dict):
        raise InputError("no table", where=path, expected="{element: file name}", got=table)
    return table


def _listed(folder: Path, element: str, entry: Any) -> Pseudopotential:
    fields = {"file": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, Mapping) or "file" not in fields:
        raise InputError(
            "no file name",
            where=f"pseudopotential of {element}",
            expected="a name or {file: name}",
            got=entry,
        )
    one = read_pseudopotential(folder / str(fields["file"]))
    if one.element != element:
        raise InputError(
            "a pseudopotential of another element", where=one.path, expected=element, got=one.element
        )
    if "sha256" in fields and one.sha256 != fields["sha256"]:
        raise InputError(
            "this file is not the one the table means",
            where=one.path,
            expected=fields["sha256"],
            got=one.sha256,
        )
    return one


def check_electrons(
    symbols: Sequence[str],
    pseudopotentials: Mapping[str, Pseudopotential],
    system: Mapping[str, Any],
) -> None:
    """Check that the atoms, their pseudopotentials and the &SYSTEM section go together.

    A cut-off below what a file suggests is a warning; an element without a file, or an odd number of
    electrons with fixed occupations and no spin, raises InputError.
    """
    present = sorted(set(symbols))
    for element in present:
        if element not in pseudopotentials:
            raise InputError(
                f"no pseudopotential of {element}",
                where="pseudopotentials",
                got=sorted(pseudopotentials),
                do="put its UPF file into pseudo_dir, or into the table",
            )
    for key in ("ecutwfc", "ecutrho"):
        needed = max((getattr(pseudopotentials[e], key) for e in present), default=0.0)
        # headers quote to the digit where generation stopped being tested: a percent below is meant
        if key in system and system[key] < 0.99 * needed:
            warnings.warn(
                f"{key} = {system[key]:g} Ry is below the {needed:.1f} Ry that the pseudopotentials suggest",
                stacklevel=3,
            )
    electrons = sum(pseudopotentials[s].n_valence for s in symbols) - float(system.get("tot_charge", 0.0))
    fixed = system.get("occupations", "fixed") == "fixed" and int(system.get("nspin", 1)) == 1
    if fixed and round(electrons) % 2 == 1:
        raise InputError(
            "an odd number of electrons with fixed occupations and no spin",
            where="input_data['system']",
            got=f"{electrons:g} electrons",
            do="set occupations='smearing' with a degauss, or nspin=2",
        )
