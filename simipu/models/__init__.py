"""Encoders of images and point clouds, and projection heads."""

POINT_ENCODERS = ("pointnet2", "pointnet2-msg", "sparse-unet")
"""Names of the point encoders, here because settings are checked without loading PyTorch."""
