import numpy as np
import pytest
from ase import Atoms
from ase.io import read
from ase.io import write as ase_write

from asennp.dataset import labels_of, read_frames, write_frames
from asennp.dataset.frames import frames_text
from asennp.errors import InputError


def make_frame(seed: int, n: int = 4) -> Atoms:
    rng = np.random.default_rng(seed)
    symbols = (["Zn", "O"] * n)[:n]
    frame = Atoms(
        symbols, rng.normal(size=(n, 3)) * 7, cell=np.eye(3) * 6 + rng.normal(size=(3, 3)), pbc=True
    )
    frame.info["REF_energy"] = float(rng.normal())
    frame.info["REF_stress"] = rng.normal(size=6) * 1e-7
    frame.arrays["REF_forces"] = rng.normal(size=(n, 3)) * 10.0 ** rng.integers(-12, 12, size=(n, 3))
    frame.arrays["REF_energies"] = rng.normal(size=n)
    return frame


def test_every_bit_survives_and_the_same_frames_give_the_same_text(tmp_path):
    frames = [make_frame(k, n=1 + k) for k in range(4)]
    frames[1].info.update(
        source="momt sc", step=12, text="007", flag=True, words='a "b" \\c', one=[3], plan={"a": 1}
    )
    frames[2].set_pbc([True, False, True])
    frames[2].set_tags([1, 2, 3])
    frames[3].set_initial_charges([1.0, -1.0, 1.0, -1.0])
    path = write_frames(tmp_path / "a.extxyz", frames)
    back = read_frames(path)
    for frame, again in zip(frames, back):
        assert np.array_equal(frame.positions, again.positions)
        assert np.array_equal(frame.cell.array, again.cell.array)
        assert np.array_equal(frame.pbc, again.pbc)
        assert frame.get_chemical_symbols() == again.get_chemical_symbols()
        assert labels_of(again) == ("energy", "stress", "forces", "energies")
        for key in ("REF_energy", "REF_stress"):
            assert np.array_equal(frame.info[key], again.info[key])
        for key, array in frame.arrays.items():
            assert np.array_equal(array, again.arrays[key]), key
    for key in ("source", "step", "text", "flag", "words", "one", "plan"):
        assert np.array_equal(back[1].info[key], frames[1].info[key]), key
    assert frames_text(back) == path.read_text()


def test_ase_reads_what_we_write(tmp_path):
    frame = make_frame(0)
    path = write_frames(tmp_path / "a.extxyz", [frame])
    again = read(path)
    assert np.array_equal(again.positions, frame.positions)
    assert again.info["REF_energy"] == frame.info["REF_energy"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = write_frames(tmp_path / "a.extxyz", [make_frame(0)])
    before = path.read_bytes()
    bad = make_frame(1)
    bad.arrays["REF_forces"][0, 0] = np.nan
    with pytest.raises(InputError, match="frame 1"):
        write_frames(path, [make_frame(2), bad])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.extxyz"]


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_nan_and_infinity_name_file_and_frame(tmp_path, value):
    path = tmp_path / "bad.extxyz"
    text = frames_text([make_frame(0), make_frame(1)])
    energy = repr(make_frame(1).info["REF_energy"])
    path.write_text(text.replace(f"REF_energy={energy}", f"REF_energy={value}"))
    with pytest.raises(InputError, match=r"bad\.extxyz, frame 1: REF_energy holds NaN"):
        read_frames(path)


def test_a_file_cut_short_is_refused(tmp_path):
    path = tmp_path / "cut.extxyz"
    path.write_text(frames_text([make_frame(0), make_frame(1)])[:-40])
    with pytest.raises(InputError, match=r"cut\.extxyz, frame 1"):
        read_frames(path)
    with pytest.raises(InputError, match="no such file"):
        read_frames(tmp_path / "none.extxyz")


def test_a_virial_needs_its_sign(tmp_path):
    frame = make_frame(0)
    stress = frame.info.pop("REF_stress")
    xx, yy, zz, yz, xz, xy = stress * frame.cell.volume
    frame.info["virial"] = -np.array([xx, xy, xz, xy, yy, yz, xz, yz, zz])
    path = tmp_path / "v.extxyz"
    ase_write(path, frame)
    with pytest.raises(InputError, match="without its sign"):
        read_frames(path)
    (again,) = read_frames(path, virial="-dE/deps")
    assert np.allclose(again.info["REF_stress"], stress, rtol=1e-6, atol=1e-16)
    (again,) = read_frames(path, virial="dE/deps")
    assert np.allclose(again.info["REF_stress"], -stress, rtol=1e-6, atol=1e-16)


def test_labels_under_ase_names_are_taken_only_on_request(tmp_path):
    from ase.calculators.singlepoint import SinglePointCalculator

    frame = Atoms("ZnO", [[0, 0, 0], [0, 0, 2.0]], cell=[5, 5, 5], pbc=True)
    frame.calc = SinglePointCalculator(frame, energy=-3.0, forces=np.ones((2, 3)))
    path = tmp_path / "p.extxyz"
    ase_write(path, frame)
    assert labels_of(read_frames(path)[0]) == ()
    assert labels_of(read_frames(path, labels="plain")[0]) == ("energy", "forces")


def test_a_full_stress_becomes_voigt_and_must_be_symmetric(tmp_path):
    frame = make_frame(0)
    frame.info["REF_stress"] = np.array([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]])
    path = write_frames(tmp_path / "s.extxyz", [frame])
    assert read_frames(path)[0].info["REF_stress"].tolist() == [1, 2, 3, 4, 5, 6]
    frame.info["REF_stress"] = np.array([[1.0, 6, 5], [0, 2, 4], [5, 4, 3]])
    with pytest.raises(InputError, match="not symmetric"):
        write_frames(path, [frame])
