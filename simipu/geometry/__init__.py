"""Rigid transforms, the pinhole camera with Brown-Conrady distortion, and projection."""
