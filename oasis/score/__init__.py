"""Outputs of any method on disk, and ground truth -> score rows; never imports the model."""
