"""Contrastive losses, on tensors alone."""
