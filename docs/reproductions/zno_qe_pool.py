"""Cells of 8 atoms of ZnO from our own sampling, labelled by pw.x: the pool zno_qe.

    python docs/reproductions/zno_qe_pool.py SAMPLE PULL PSEUDO OUT [--first 56] [--workers 1]

SAMPLE and PULL are stages of the empirical potential, PSEUDO holds the PAW files of Zn and O:

    asennp sample zno-tiny -o A -s sample.steps=40000 -s sample.frame_interval=200            # A/sample
    asennp tensile zno-tiny -o B -s tensile.phase=W -s 'tensile.cells=[2,1,1]' \\
        -s tensile.rate_A_per_ps=1.0 -s tensile.steps=2000                                    # B/tensile

OUT gets the calculations, zno_qe.extxyz and the settings; started again, it goes on.
"""

import argparse
from pathlib import Path

import numpy as np
import yaml
from ase import Atoms

from asennp import BuckinghamCoulomb
from asennp.calculators.espresso import EspressoLabeler
from asennp.dataset import read_frames, write_frames
from asennp.distill.selection import farthest_points
from asennp.files import sha256_file, write_atomic
from asennp.labelling import label_frames
from asennp.qeff import summed_features

#: What a density functional need not be asked: gas and collisions of the hot empirical ions.
VOLUME_A3_PER_ATOM = (8.5, 17.0)
FORCE_EV_A = 12.0
#: Frames: of the walks, as different as can be, and of the pull.
SAMPLED, PULLED = 42, 14
#: As the reference set of 130 cells has it, so that both can be put together.
SETTINGS = {
    "preset": "quick",
    "kspacing": 0.095,
    "koffset": [1, 1, 1],
    "input_data": {"system": {"ecutwfc": 45.0, "ecutrho": 320.0}, "electrons": {"conv_thr": 1e-8}},
}
#: eV a cell of 8 atoms: trace/3 of the stress that the finite set of plane waves lacks at 45/320 Ry, times
#: the volume; from equations of state of the three phases at 80/500 Ry.
BASIS_EV = -0.56174


def candidates(folder: Path) -> list[Atoms]:
    """Return sampled frames of the density and with the forces of matter."""
    calculator = BuckinghamCoulomb("zno-lewis-catlow", guard=True)
    chosen = []
    for name in ("SC", "FCC"):
        for frame in read_frames(folder / name / "frames.extxyz"):
            inside = VOLUME_A3_PER_ATOM[0] < frame.get_volume() / len(frame) < VOLUME_A3_PER_ATOM[1]
            if inside and np.abs(calculator.get_property("forces", frame)).max() < FORCE_EV_A:
                frame.info = {"source": f"momt {name}", "step": int(frame.info["step"])}
                chosen.append(frame)
    return chosen


def main() -> None:
    """Choose, label, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("sample", "pull", "pseudo", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument(
        "--first", type=int, default=56, help="label only so many; more can be asked for later"
    )
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    momt = candidates(arguments.sample)
    momt = [momt[k] for k in farthest_points(summed_features(momt), SAMPLED)]
    pull = read_frames(arguments.pull / "frames.extxyz")
    pull = [pull[k] for k in np.linspace(0, len(pull) - 1, PULLED).astype(int)]
    for frame in pull:
        frame.info = {"source": "tensile W", "step": int(frame.info["step"])}
    # the two kinds take turns: the first ones hold of both
    frames = [f for k in range(len(pull)) for f in (*momt[3 * k : 3 * k + 3], pull[k])][: arguments.first]
    teacher = {
        "pseudo_dir": str(arguments.pseudo),
        "directory": str(arguments.out / "calculations"),  # what is finished there is read, not repeated
        "time_limit_s": 1200.0,
        **SETTINGS,
    }
    folder = arguments.out / f"first-{len(frames)}"
    found = label_frames(frames, "espresso", teacher, folder=folder, workers=arguments.workers)
    for frame in found.frames:
        frame.info.pop("frame", None)
        stress = np.array(frame.info["REF_stress"])
        stress[:3] += BASIS_EV * len(frame) / 8 / frame.get_volume()
        frame.info["REF_stress"] = stress
    write_frames(arguments.out / "zno_qe.extxyz", found.frames)
    described = {
        "frames": len(found.frames),
        "failed": [f"{one['source']}, step {one['step']}: {one['error']}" for one in found.failed],
        "sha256": sha256_file(arguments.out / "zno_qe.extxyz"),
        "settings": dict(EspressoLabeler(arguments.pseudo, **SETTINGS).parameters),  # type: ignore[arg-type]
        "stress": f"corrected for the fixed set of plane waves: {BASIS_EV} eV / V a cell of 8 atoms",
    }
    write_atomic(arguments.out / "settings.yaml", yaml.safe_dump(described, sort_keys=False))
    print(f"{len(found.frames)} labels, {len(found.failed)} failed")


if __name__ == "__main__":
    main()
