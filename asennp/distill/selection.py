"""Which frames of a screened chunk are chosen, from the spread of their atomic energies."""

from collections.abc import Sequence

import numpy as np


def frame_scores(spread: np.ndarray, sizes: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Return the largest spread of an atomic energy in each frame, for each group of atoms.

    Parameters
    ----------
    spread
        (n_atoms,) standard deviation over the members, eV.
    sizes
        (n_frames,) atoms of each frame, none empty.
    groups
        (n_atoms,) group of each atom, such as its species; by default all are of one.

    Returns
    -------
    numpy.ndarray
        (n_frames, n_groups), eV; 0 where a frame has no atom of a group.
    """
    groups = np.zeros(len(spread), dtype=int) if groups is None else groups
    scores = np.zeros((len(sizes), int(groups.max()) + 1))
    np.maximum.at(scores, (np.repeat(np.arange(len(sizes)), sizes), groups), spread)
    return scores


def standard_scores(scores: np.ndarray) -> np.ndarray:
    """Return how many standard deviations each frame lies above the mean, in its most unusual group.

    Groups (n_frames, n_groups) are judged each by its own mean and deviation: a species whose energies are
    learnt well is not drowned by one that is not.
    """
    deviation = scores.std(axis=0)
    above = (scores - scores.mean(axis=0)) / np.where(deviation > 0.0, deviation, 1.0)
    return np.asarray(above.max(axis=1))


def select(above: np.ndarray, n_sd: float, cap: int, fingerprints: np.ndarray | None = None,
           known: np.ndarray | None = None) -> np.ndarray:  # fmt: skip
    """Return indices of the chosen frames, the most unusual first.

    Parameters
    ----------
    above
        (n,) standard scores.
    n_sd
        Frames above this are candidates.
    cap
        At most so many are chosen: those of the highest scores, or with `fingerprints` those that lie
        farthest from each other and from the known ones.
    fingerprints, known
        (n, F) and (m, F) of the frames and of those chosen before.
    """
    ranked = np.argsort(-above, kind="stable")
    candidates = ranked[above[ranked] > n_sd]
    if fingerprints is None or len(candidates) <= cap:
        return candidates[:cap]
    return candidates[farthest_points(fingerprints[candidates], cap, known)]


def farthest_points(points: np.ndarray, n: int, known: np.ndarray | None = None) -> np.ndarray:
    """Return the indices of n points, each the farthest from those before it and from the known ones.

    Greedy k-centre (T. F. Gonzalez, Theor. Comput. Sci. 38 (1985) 293, doi:10.1016/0304-3975(85)90224-5):
    no more than twice the least possible distance from any point to its nearest chosen one.

    Parameters
    ----------
    points
        (N, F).
    n
        How many; all, if there are fewer.
    known
        (M, F) points that are there already; without any, the first point is taken first.
    """
    nearest = np.full(len(points), np.inf)
    for point in () if known is None else known:
        nearest = np.minimum(nearest, np.linalg.norm(points - point, axis=1))
    chosen: list[int] = []
    for _ in range(min(n, len(points))):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
        nearest[chosen[-1]] = -np.inf
    return np.array(chosen, dtype=int)


def fingerprints(features: Sequence[np.ndarray], species: Sequence[np.ndarray], n_species: int) -> np.ndarray:
    """Return a point for each frame in the space of the descriptor: its mean over the atoms of each species.

    Parameters
    ----------
    features, species
        (N, F) and (N,) of each frame.
    n_species
        Species known to the descriptor.

    Returns
    -------
    numpy.ndarray
        (n_frames, n_species F); zero where a species is absent.
    """
    points = np.zeros((len(features), n_species, features[0].shape[1]))
    for point, values, kinds in zip(points, features, species):
        for kind in np.unique(kinds):
            point[kind] = values[kinds == kind].mean(axis=0)
    return points.reshape(len(features), -1)
