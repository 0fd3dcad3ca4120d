"""What the sampling of ZnO visited: tables, figures and pools of finished runs.

asennp sample zno-sampling -o FOLDER
asennp tensile zno-sampling -o FOLDER
python docs/reproductions/sampling.py FOLDER FIGURES            the table and the figures of this page
python docs/reproductions/sampling.py FOLDER FIGURES --pools    and the shipped pools
python docs/reproductions/sampling.py quench zno-sc FOLDER/sample/NPT/frames.extxyz
                                                                phases of some frames, hot and cooled to rest
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import yaml
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

from asennp import BuckinghamCoulomb
from asennp.config import Config, load_config
from asennp.dataset import load_pool, read_frames, shipped_pools, write_pool
from asennp.files import read_json, sha256_file, write_atomic
from asennp.md.bias import WangLandauBias
from asennp.md.surface import Axis
from asennp.phases import classify_frames
from asennp.report import figures
from asennp.stages.tensile import pulled_frames

#: An order parameter that only the crystal of the star has; a disordered cell stays below 15.
REACHED = {"sc": 50.0, "fcc": 28.0, "own": 18.0}
N_POOL = 4000
N_QUENCHED = 40


def columns(frames: list[Atoms]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return steps, enthalpies and orders (n, n_orders)."""
    orders = np.array([np.atleast_1d(frame.info.get("order", ())) for frame in frames])
    return *(np.array([frame.info[key] for frame in frames]) for key in ("step", "enthalpy")), orders


def describe(config: Config, name: str, folder: Path, place: Path) -> list[Atoms]:
    """Print a walker's row, draw its figures; return its frames."""
    walker, found = config.sample.walkers[name], read_json(folder / "walker.json")
    frames = read_frames(folder / "frames.extxyz")
    step, enthalpy, orders = columns(frames)
    time = step * config.sample.timestep_fs / 1000.0
    history = read_json(folder / "phases.json")
    shares = dict(zip(history["names"], np.transpose(history["fractions"])))
    figures.plot_phases(time, shares).savefig(place / f"sampling-phases-{name.lower()}.svg")
    visited = ", ".join(f"{phase} {100 * share:.1f} %" for phase, share in found["phases"].items())
    atoms = ", ".join(
        f"{phase} {100 * share.mean():.1f} %" for phase, share in shares.items() if share.mean() > 5e-4
    )
    print(f"{name}: {found['steps']} steps, {len(frames)} frames; frames: {visited}; atoms: {atoms}")
    for axis, (star, mesh) in enumerate(walker.orders.items()):
        order = orders[:, axis]
        beyond = order > REACHED[star]
        when = f"first at step {step[beyond][0]}, in {100 * beyond.mean():.2f} %" if beyond.any() else "never"
        print(f"   {star}: {order.min():.1f} to {order.max():.1f}, beyond {REACHED[star]:g} {when}")
        axes = Axis("enthalpy", *(walker.enthalpy or config.sample.walkers["SC"].enthalpy)), Axis(star, *mesh)
        edges = [one.edges for one in axes]
        counts = np.histogram2d(enthalpy, order, edges)[0]
        print(f"   (H, {star}): {int((counts > 0).sum())} of {counts.size} nodes visited by frames")
        surface = np.zeros_like(counts)
        if walker.enthalpy is not None:
            bias = WangLandauBias.load(folder / "bias.npz")
            surface = figures.project_bias(bias, 0, axis + 1)[1]
        drawn = figures.plot_map(*edges, counts, surface, order_label=f"Order parameter O ({star})")
        drawn.savefig(place / f"sampling-map-{name.lower()}-{star}.svg")
    return frames


def thinned(frames: list[Atoms]) -> list[Atoms]:
    """Return about `N_POOL` frames, evenly spaced."""
    return frames[:: max(1, len(frames) // N_POOL)][:N_POOL]


def quench(source: str) -> None:
    """Print the phases of frames at temperature, and of the minima they lie above, without pressure."""
    frames = load_pool(source) if source in shipped_pools() else read_frames(source)
    frames = [frames[k] for k in np.linspace(0, len(frames) - 1, N_QUENCHED).round().astype(int)]
    calculator = BuckinghamCoulomb("zno-lewis-catlow", guard=True)
    rested = []
    warnings.filterwarnings("ignore", "logm result may be inaccurate")  # by 1e-12
    for frame in frames:
        atoms = frame.copy()
        atoms.calc = calculator
        # cells too: hot ones are so wide that a crystal at rest in them is another one
        FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=0.05, steps=400)
        rested.append(atoms)
    for name, some in (("hot", frames), ("quenched", rested)):
        shares = ", ".join(
            f"{phase} {100 * share:.0f} %" for phase, share in classify_frames(some).visited().items()
        )
        print(f"{source}, {name}: {shares}", flush=True)


def main(folder: Path, place: Path, pools: bool) -> None:
    """Print the table, draw the figures, write the pools."""
    config = load_config(folder / "config.yaml")
    place.mkdir(parents=True, exist_ok=True)
    kept = {}
    for name in config.sample.walkers:
        if not (folder / "sample" / name / "walker.json").is_file():
            print(f"{name}: not finished")
            continue
        kept[f"zno-{name.lower()}"] = thinned(describe(config, name, folder / "sample" / name, place))
    if (folder / "tensile" / "frames.extxyz").is_file():
        pull = pulled_frames(folder / "tensile")
        strain, stress = (np.array([f.info[key] for f in pull]) for key in ("strain", "tension_GPa"))
        at = strain[stress.argmax()]
        print(f"pull: {len(pull)} frames, strength {stress.max():.2f} GPa at strain {at:.3f}")
        kept["zno-tensile"] = thinned(pull)
    if pools:
        home, described = Path(__file__).parents[2] / "data" / "pools", {}
        for name in (n for n in ("zno-sc", "zno-fcc", "zno-tensile") if n in kept):
            path = write_pool(home / f"{name}.npz", kept[name])
            stage = "tensile" if name == "zno-tensile" else "sample"
            described[name] = {
                "sha256": sha256_file(path),
                "frames": len(kept[name]),
                "formula": kept[name][0].get_chemical_formula(),
                "source": f"2 ns of {config.potential.name}, thinned; preset zno-sampling, stage {stage}",
                "command": f"asennp {stage} zno-sampling -o FOLDER; "
                "python docs/reproductions/sampling.py FOLDER FIGURES --pools",
            }
        write_atomic(home / "pools.yaml", yaml.safe_dump(described, sort_keys=False))


if __name__ == "__main__":
    if sys.argv[1] == "quench":
        for one in sys.argv[2:]:
            quench(one)
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]), "--pools" in sys.argv)
