"""Gymnasium environments of a task, one or many."""

from dr_env.envs.env import Env, GoalEnv
from dr_env.envs.growth import grow
from dr_env.envs.logged_return import return_of_log
from dr_env.envs.objective import Objective
from dr_env.envs.pixels import PixelVectorEnv, with_pixels
from dr_env.envs.randomization import as_spec
from dr_env.envs.registration import (
    is_model_file,
    known_task,
    make_env,
    make_task,
    make_vector_env,
    register_tasks,
    task_name,
    task_names,
)
from dr_env.envs.rollout import Episodes, Policy, StatefulPolicy, rollout
from dr_env.envs.stability import Failure, try_out
from dr_env.envs.task import Fields, Task, state_names
from dr_env.envs.task_file import is_task_file
from dr_env.envs.trainer import TrainedPolicy, Trainer, TrainRequest, make_trainer
from dr_env.envs.vector import VectorEnv
from dr_env.envs.wrapper import DomainRandomization

__all__ = [
    "DomainRandomization",
    "Env",
    "Episodes",
    "Failure",
    "Fields",
    "GoalEnv",
    "Objective",
    "PixelVectorEnv",
    "Policy",
    "StatefulPolicy",
    "Task",
    "TrainRequest",
    "TrainedPolicy",
    "Trainer",
    "VectorEnv",
    "as_spec",
    "grow",
    "is_model_file",
    "is_task_file",
    "known_task",
    "make_env",
    "make_task",
    "make_trainer",
    "make_vector_env",
    "register_tasks",
    "return_of_log",
    "rollout",
    "state_names",
    "task_name",
    "task_names",
    "try_out",
    "with_pixels",
]
