"""Melting of the Lennard-Jones crystal at P* = 1 by reweighting a run that visits (H, O) evenly.

    python docs/reproductions/lj_melting.py learn FOLDER      Wang-Landau from the crystal, 1/t, then frozen
    python docs/reproductions/lj_melting.py sample FOLDER     under the frozen bias
    python docs/reproductions/lj_melting.py analyse FOLDER    transition temperature, figure
    python docs/reproductions/lj_melting.py direct FOLDER     without a bias, at that temperature

The runs go on where they were stopped. Sizes and lengths are the constants below.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from lennard_jones import EPSILON, PRESSURE, SIGMA, TEMPERATURE_K, FastLennardJones, crystal, reduced_time

from asennp.files import read_json
from asennp.md.bias import WangLandauBias
from asennp.md.momt import MOMT
from asennp.order import ReciprocalOrder

REPEAT = 3  # 4 REPEAT^3 atoms
N = 4 * REPEAT**3
T0 = 0.75 * TEMPERATURE_K
LEARN_STEPS, SAMPLE_STEPS, SEGMENT = 1_300_000, 4_000_000, 50_000
WL_INTERVAL, RECORD = 25, 20
DIRECT_STEPS = 4_000_000
#: Enthalpy per atom (epsilon): by it phases are told apart.
CRYSTAL_BELOW, LIQUID_ABOVE = -4.85, -4.50


def make_bias() -> WangLandauBias:
    """Return the mesh: from the crystal at T* = 0.57 to the liquid at 0.93."""
    return WangLandauBias(
        [("enthalpy", -5.55 * N * EPSILON, -3.40 * N * EPSILON, 44), ("order", -4.0, 0.93 * N, 27)],
        T0,
        ln_f=0.05,
        schedule="1/t",
        temperature_min_K=0.55 * TEMPERATURE_K,
        temperature_max_K=1.05 * TEMPERATURE_K,
    )


def start(bias: WangLandauBias, seed: int, log: Path) -> MOMT:
    """Return the dynamics on the crystal."""
    atoms, tau = crystal(REPEAT), reduced_time()
    atoms.rattle(0.06 * SIGMA, seed=seed)  # the perfect crystal lies below the mesh
    order = ReciprocalOrder.fcc(atoms, cells=(REPEAT,) * 3)
    return MOMT(
        atoms, 0.005 * tau, T0, PRESSURE, order=order, bias=bias, wl_interval=WL_INTERVAL,
        rng=np.random.default_rng(seed), tdamp=0.5 * tau, pdamp=2.0 * tau, logfile=log, loginterval=5000,
    )  # fmt: skip


def run(folder: Path, name: str, steps: int, make: Callable[[Path], MOMT]) -> MOMT:
    """Run in segments; every segment leaves its samples and a restart file."""
    home = folder / name
    home.mkdir(parents=True, exist_ok=True)
    restart = home / "restart.npz"
    dyn = MOMT.restart(restart, FastLennardJones()) if restart.exists() else make(home / "log")
    began = time.process_time()
    while dyn.nsteps < steps:
        rows = []
        for k, _ in enumerate(dyn.irun(SEGMENT)):
            if k and k % RECORD == 0:
                point = dyn.point
                rows.append((point.evaluation.energy, point.volume, point.orders[0]))
        np.save(home / f"samples-{dyn.nsteps // SEGMENT:04d}.npy", np.array(rows))
        dyn.save(restart)
        h, o = np.array(rows)[:, 0] / EPSILON / N, np.array(rows)[:, 2]
        print(
            f"{name} {dyn.nsteps} steps, {time.process_time() - began:.0f} s: U* {h.min():.3f} {h.max():.3f},"
            f" O {o.min():.1f} {o.max():.1f}" + ("" if dyn.bias is None else f", ln f {dyn.bias.ln_f:.5f}"),
            flush=True,
        )
    return dyn


def learn(folder: Path) -> None:
    """Learn dH and freeze it."""
    dyn = run(folder, "learn", LEARN_STEPS, lambda log: start(make_bias(), 1, log))
    dyn.bias.set_frozen()
    dyn.bias.save(folder / "bias.npz")


def sample(folder: Path) -> None:
    """Sample under the frozen bias."""
    bias = WangLandauBias.load(folder / "bias.npz")
    run(folder, "sample", SAMPLE_STEPS, lambda log: start(bias, 2, log))


def direct(folder: Path) -> None:
    """Count crystal and liquid along a run without a bias: at coexistence each holds half of the time."""
    temperature = float(read_json(folder / "transition.json")["temperature_K"])

    def make(log: Path) -> MOMT:
        atoms, tau = crystal(REPEAT), reduced_time()
        order = ReciprocalOrder.fcc(atoms, cells=(REPEAT,) * 3)
        return MOMT(
            atoms, 0.005 * tau, temperature, PRESSURE, order=order, rng=np.random.default_rng(3),
            tdamp=0.5 * tau, pdamp=2.0 * tau, logfile=log, loginterval=5000,
        )  # fmt: skip

    run(folder, "direct", DIRECT_STEPS, make)
    rows = np.concatenate([np.load(path) for path in sorted((folder / "direct").glob("samples-*.npy"))])
    enthalpy = (rows[:, 0] + PRESSURE * rows[:, 1]) / EPSILON / N
    phase = np.select([enthalpy < CRYSTAL_BELOW, enthalpy > LIQUID_ABOVE], [1.0, -1.0])
    told = phase[phase != 0]
    crossings = int((np.diff(told) != 0).sum())
    shares = [(block > 0).mean() for block in np.array_split(told, 10)]
    share, error = np.mean(shares), np.std(shares, ddof=1) / np.sqrt(len(shares))
    print(f"direct: {len(rows)} frames, {crossings} crossings, crystal {share:.3f} +- {error:.3f}")


def analyse(folder: Path) -> None:
    """Print and save the transition; draw the figures."""
    from asennp.md.coexistence import compute_phase_populations, compute_transition_temperature
    from asennp.md.samples import BiasedSamples
    from asennp.md.thermodynamics import compute_heat_capacity
    from asennp.report.thermodynamics import plot_bias, plot_populations

    bias = WangLandauBias.load(folder / "bias.npz")
    rows = np.concatenate([np.load(path) for path in sorted((folder / "sample").glob("samples-*.npy"))])[500:]
    samples = BiasedSamples.from_arrays(bias, rows[:, 0], rows[:, 1], rows[:, 2], n_blocks=6)
    enthalpy = samples.enthalpy / EPSILON / N
    # by enthalpy, not by O: crystals with a stacking fault or another orientation have a small O as well
    labels = np.where(
        enthalpy < CRYSTAL_BELOW, "crystal", np.where(enthalpy > LIQUID_ABOVE, "liquid", "between")
    )
    grid = TEMPERATURE_K * np.linspace(0.62, 0.80, 37)
    found = compute_transition_temperature(samples, labels, ("crystal", "liquid"), grid)
    heat = compute_heat_capacity(samples, grid)
    found.to_json(folder / "transition.json")
    print(
        f"{len(rows)} frames, {found.n_crossings} crossings, supported: {found.supported}\n"
        f"equal: T* = {found.temperature_K / TEMPERATURE_K:.4f} +- {found.error_K / TEMPERATURE_K:.4f}\n"
        f"latent heat {found.latent_heat / EPSILON / N:.3f} +- {found.latent_heat_error / EPSILON / N:.3f}\n"
        f"peak of C_P: T* = {heat.peak_K / TEMPERATURE_K:.4f} +- {heat.peak_error_K / TEMPERATURE_K:.4f}"
    )
    plot_bias(bias, ["Enthalpy H (eV)", "Order parameter O"]).savefig(folder / "lj-bias.svg")
    shares = compute_phase_populations(samples, labels, grid)
    plot_populations(shares, found).savefig(folder / "lj-melting.svg")


if __name__ == "__main__":
    {"learn": learn, "sample": sample, "analyse": analyse, "direct": direct}[sys.argv[1]](Path(sys.argv[2]))
