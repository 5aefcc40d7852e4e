"""From a store to batches: decoding, augmentation, choice of pairs and points, workers."""
