"""Counting which pixels find their point."""

import torch

from simipu.evaluate.retrieval import partner_ranks


def test_ranks_by_hand():
    keys = torch.eye(8)
    queries = keys.clone()
    queries[1] = torch.tensor([0.9, 0.1, 0, 0, 0, 0, 0, 0])  # second
    queries[2] = torch.tensor([5.0, 4, 0.5, 3, 2, 1, 0, 0])  # sixth
    assert partner_ranks(queries, keys).tolist() == [1, 2, 6, 1, 1, 1, 1, 1]
    # All alike: nothing was found, whatever the order.
    assert partner_ranks(torch.ones(8, 4), torch.ones(8, 4)).tolist() == [8] * 8


def test_features_that_are_not_numbers_find_nothing():
    nan = torch.full((6, 3), torch.nan)
    one = torch.nn.functional.normalize(torch.ones(6, 3), dim=1)
    for queries, keys in ((nan, nan), (nan, one), (one, nan)):
        assert (partner_ranks(queries, keys) == 6).all()
