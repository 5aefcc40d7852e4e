"""Trained encoders as files that other libraries load."""
