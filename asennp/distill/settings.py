"""How a pool is distilled."""

from dataclasses import dataclass, field

from asennp.errors import InputError
from asennp.train.config import TrainConfig


@dataclass(frozen=True)
class DistillSettings:
    """How a pool is distilled.

    Parameters
    ----------
    initial
        Frames of the first, random block (not used where chosen frames are given to start from).
    chunk
        Frames screened in a round.
    n_sd
        The threshold lies this many standard deviations above the mean score.
    cap
        At most this many frames are chosen in a round.
    per_species
        Judge the largest spread among the atoms of each species by the chunk's mean and deviation of that
        species; a frame counts by its most unusual one.
    diversity
        Where more than `cap` frames are above the threshold, take not the worst of them but those that lie
        farthest from each other and from the frames chosen before, in the space of the descriptor.
    n_members
        Committee members.
    train
        Training of each member, by default the A-Train stage of the papers. With weights for forces or
        stress, these are learnt too; without, far cheaper, atomic energies alone. The parameters of the
        last epoch are kept.
    warm_epochs
        If set, members continue from the last round for so many epochs instead of starting anew.
    curve_frames
        Frames of the pool on which the learning curve is measured; None takes the whole pool.
    seed
        Of everything random.
    """

    initial: int = 2000
    chunk: int = 2000
    n_sd: float = 3.0
    cap: int = 100
    per_species: bool = False
    diversity: bool = False
    n_members: int = 5
    train: TrainConfig = field(default_factory=lambda: TrainConfig(stage="A-Train", energy_weight=8.0))
    warm_epochs: int | None = None
    curve_frames: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        positive = ("initial", "chunk", "cap", "warm_epochs", "curve_frames")
        for name in positive:
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InputError("must be positive", where=f"DistillSettings.{name}", got=getattr(self, name))
        if self.n_members < 2:
            raise InputError(
                "a spread needs two members", where="DistillSettings.n_members", got=self.n_members
            )
        if self.train.stage != "A-Train" or self.train.energy_weight <= 0:
            raise InputError("members learn atomic energies", where="train.stage", expected="A-Train")
