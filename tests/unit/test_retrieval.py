"""Counting which pixels find their point."""

import torch

from simipu.train.retrieval import partner_hits


def test_features_that_are_not_numbers_find_nothing():
    nan = torch.full((6, 3), torch.nan)
    one = torch.nn.functional.normalize(torch.ones(6, 3), dim=1)
    for queries, keys in ((nan, nan), (nan, one), (one, nan)):
        assert not partner_hits(queries, keys).any()
