"""How much each annotator's word weighs, from how far they are from what the others say."""

from collections.abc import Sequence

import numpy as np

from loopline.medoid import Ballot, Real, nearest_without_each

# A annotators

PRIOR_LINES = 20  # shared lines at everybody's CER, added to an annotator's own: fewer say more of lines than of people
LEAST_WEIGHT, MOST_WEIGHT = 0.7, 1.3  # less than one to two, so that two who agree outvote any third
WEIGHT_DIGITS = 1  # decimals: nobody is known better, and two against two must not be settled by a hair
MOST_ROUNDS = 10  # five are enough as a rule; where many texts lie equally near, weights go round within a tenth


def weigh(ballots: Sequence[Ballot], annotator_count: int) -> tuple[Real, Real]:
    """Return each annotator's weight (A,), and CER against the consensus of the others (A,), NaN for who is alone.

    Consensus and weights are found in turn, as in Dawid and Skene 1979, "Maximum Likelihood Estimation of Observer
    Error-Rates Using the EM Algorithm"; that distances stand in for a table of confusions is the idea of Braylan and
    Lease 2020, "Modeling and Aggregation of Complex Annotations via Annotation Distances", not their model. A weight is
    everybody's CER over the annotator's, smoothed, bounded and rounded: what a weighted medoid should have if errors
    are spread as in a Laplace distribution. Nobody's own text counts in the consensus that they are held against. It
    ends when no weight changes any more, or after MOST_ROUNDS.
    """
    shared = [ballot for ballot in ballots if len(ballot.voters_V) > 1]
    line_counts_A = _line_counts(shared, annotator_count)
    weights_A: Real = np.ones(annotator_count)
    for _ in range(MOST_ROUNDS):
        before_A = weights_A
        edits_A, characters_A = _errors(shared, weights_A)
        weights_A = _weights(edits_A, characters_A, line_counts_A=line_counts_A)
        if np.array_equal(weights_A, before_A):
            break
    return weights_A, np.where(line_counts_A > 0, edits_A / np.maximum(characters_A, 1), np.nan)


def _line_counts(shared: Sequence[Ballot], annotator_count: int) -> Real:
    counts_A = np.zeros(annotator_count)
    for ballot in shared:
        counts_A[ballot.voters_V] += 1
    return counts_A


def _errors(shared: Sequence[Ballot], weights_A: Real) -> tuple[Real, Real]:
    """Return each annotator's edits, and the characters of what the others agree on."""
    edits_A, characters_A = np.zeros_like(weights_A), np.zeros_like(weights_A)
    for ballot in shared:
        if len(ballot.texts) == 1:
            characters_A[ballot.voters_V] += ballot.lengths_T[0]
            continue
        others_V = nearest_without_each(ballot, weights_A[ballot.voters_V])
        edits_A[ballot.voters_V] += ballot.edits_KT[others_V, ballot.choices_V]
        characters_A[ballot.voters_V] += ballot.lengths_T[others_V]
    return edits_A, characters_A


def _weights(edits_A: Real, characters_A: Real, *, line_counts_A: Real) -> Real:
    if not edits_A.any():
        return np.ones_like(edits_A)
    mean_cer = edits_A.sum() / max(characters_A.sum(), 1)
    prior = PRIOR_LINES * max(characters_A.sum() / line_counts_A.sum(), 1)  # characters
    cers_A = (edits_A + prior * mean_cer) / (characters_A + prior)
    return np.clip(mean_cer / cers_A, LEAST_WEIGHT, MOST_WEIGHT).round(WEIGHT_DIGITS)  # type: ignore[no-any-return]
