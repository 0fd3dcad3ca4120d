"""Pseudopotentials: found by element or table, refused when they do not belong together."""

import hashlib
from pathlib import Path

import pytest
import yaml

from asennp.calculators.pseudopotentials import check_electrons, find_pseudopotentials, read_pseudopotential
from asennp.errors import InputError

PBE = " SLA  PW   PBX  PBC"


def upf(
    folder: Path, name: str, element: str, functional: str = PBE, valence: float = 6.0, wfc: float = 40.0
) -> Path:
    path = folder / name
    path.write_text(
        f'<UPF version="2.0.1">\n<PP_HEADER element="{element}" functional="{functional}" '
        f'z_valence="{valence}" wfc_cutoff="{wfc}" rho_cutoff="{4 * wfc}"/>\n</UPF>\n'
    )
    return path


def test_the_header_is_read(reference: Path) -> None:
    one = read_pseudopotential(reference / "zno_qe" / "pseudo" / "O.pbe-n-kjpaw_psl.1.0.0.UPF")
    assert (one.element, one.functional, one.n_valence) == ("O", "SLA PW PBX PBC", 6.0)
    assert (one.ecutwfc, one.ecutrho) == pytest.approx((46.6, 323.0), abs=0.1)


def test_by_element_and_by_table(tmp_path: Path) -> None:
    upf(tmp_path, "O.UPF", "O")
    zinc = upf(tmp_path, "Zn.upf", "Zn")
    assert sorted(find_pseudopotentials(tmp_path)) == ["O", "Zn"]
    digest = hashlib.sha256(zinc.read_bytes()).hexdigest()
    table = tmp_path / "table.yaml"
    table.write_text(yaml.safe_dump({"O": "O.UPF", "Zn": {"file": "Zn.upf", "sha256": digest}}))
    assert find_pseudopotentials(tmp_path, table)["Zn"].sha256 == digest
    zinc.write_text(zinc.read_text() + " ")
    with pytest.raises(InputError, match="not the one the table means"):
        find_pseudopotentials(tmp_path, table)


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    upf(tmp_path, "O.UPF", "O")
    upf(tmp_path, "Zn.UPF", "Zn", functional="PBESOL")
    with pytest.raises(InputError, match="different functionals"):
        find_pseudopotentials(tmp_path)
    upf(tmp_path, "Zn.UPF", "Zn", functional="PBE")  # another name of the same functional
    assert len(find_pseudopotentials(tmp_path)) == 2
    with pytest.raises(InputError, match="another element"):
        find_pseudopotentials(tmp_path, {"O": "Zn.UPF"})
    with pytest.raises(InputError, match="no such pseudopotential"):
        find_pseudopotentials(tmp_path, {"O": "absent.UPF"})
    with pytest.raises(InputError, match="no such folder"):
        find_pseudopotentials(tmp_path / "absent")
    upf(tmp_path, "O-soft.UPF", "O")
    with pytest.raises(InputError, match="two pseudopotentials of O"):
        find_pseudopotentials(tmp_path)
    (tmp_path / "O.UPF").write_text("not one")
    with pytest.raises(InputError, match="no UPF file"):
        find_pseudopotentials(tmp_path, {"O": "O.UPF"})


def test_electrons_and_cut_offs(tmp_path: Path) -> None:
    upf(tmp_path, "Al.UPF", "Al", valence=3.0)
    found = find_pseudopotentials(tmp_path)
    check_electrons(["Al"], found, {"ecutwfc": 40.0, "occupations": "smearing"})
    check_electrons(["Al"], found, {"ecutwfc": 40.0, "nspin": 2})
    check_electrons(["Al", "Al"], found, {"ecutwfc": 40.0})
    check_electrons(["Al"], found, {"ecutwfc": 40.0, "tot_charge": 1.0})
    with pytest.raises(InputError, match="odd number of electrons"):
        check_electrons(["Al"], found, {"ecutwfc": 40.0})
    with pytest.warns(UserWarning, match=r"ecutwfc = 20 Ry is below the 40\.0 Ry"):
        check_electrons(["Al", "Al"], found, {"ecutwfc": 20.0})
    with pytest.raises(InputError, match="no pseudopotential of O"):
        check_electrons(["Al", "O"], found, {})
