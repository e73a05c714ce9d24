"""Rows in blocks, for the tests of what does not fit into memory."""

from itertools import pairwise

from gaussmix._passes import tree_reduce


class Blocks:
    """A source of pairs of rows and weights that lie in memory."""

    feature_names = None

    def __init__(self, pairs):
        self.pairs = pairs

    def reduce(self, per_block, merge):
        return tree_reduce((per_block(i, X, w) for i, (X, w) in enumerate(self.pairs)), merge)


def cut(X, weights, places):
    """Return pairs of rows and weights, cut at the given places."""
    ends = [0, *places, len(X)]
    return [(X[a:b], None if weights is None else weights[a:b]) for a, b in pairwise(ends)]
