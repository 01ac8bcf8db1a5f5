"""A ball on a beam that a servo tilts, to be brought to the middle: a task of one file."""

from pathlib import Path

import numpy as np

import dr_env


def observe(data):
    """Angle of the beam, place of the ball, and their rates: (n, 4) of n environments."""
    return np.concatenate((data["qpos"], data["qvel"]), axis=1)


def reward(before, action, after):
    """Up to 1 a step: the ball in the middle, and still."""
    away, speed = after["qpos"][:, 1], after["qvel"][:, 1]
    return np.exp(-10 * np.abs(away)) * np.exp(-np.abs(speed))


def terminated(data):
    """The ball at an end of the beam."""
    return np.abs(data["qpos"][:, 1]) > 0.47


task = dr_env.make_task(
    Path(__file__).with_name("ball_and_beam.xml"),
    observe=observe,
    reward=reward,
    terminated=terminated,
    frame_skip=4,  # 50 actions a second
    max_episode_steps=250,
    reset_noise=0.3,
    camera="side",
)
