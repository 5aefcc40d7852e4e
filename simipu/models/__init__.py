"""Encoders of images and point clouds, and projection heads."""
