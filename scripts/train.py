"""Trains a policy: the command `dr-env train` as a script, for debuggers and job queues."""

import tyro

from dr_env.cli.train import train

if __name__ == "__main__":
    tyro.cli(train)
