"""Pose estimators trained on labelled images, and ways to close the gap to another camera's images."""
