"""dr_env: MuJoCo environments for domain-randomized policy transfer.

One declarative `Spec` says what may vary; bound to a model it is a `Plan`, which samples `Draw`s and
writes them. `VectorEnv` and `Env` run a `Task` under a Spec through Gymnasium.
"""

from dr_env.binding import Build, Plan, bind, build_model, compile_model, propose_looks
from dr_env.distributions import Distribution, ParameterVector
from dr_env.envs import (
    DomainRandomization,
    Env,
    Fields,
    GoalEnv,
    PixelVectorEnv,
    Policy,
    Task,
    TrainedPolicy,
    TrainRequest,
    VectorEnv,
    as_spec,
    known_task,
    make_env,
    make_task,
    make_vector_env,
    register_tasks,
    rollout,
    state_names,
    task_name,
    task_names,
    with_pixels,
)
from dr_env.errors import DREnvError
from dr_env.records import Draw
from dr_env.spec import Entry, Selector, Spec

__version__ = "0.1.0"

__all__ = [
    "Build",
    "DREnvError",
    "Distribution",
    "DomainRandomization",
    "Draw",
    "Entry",
    "Env",
    "Fields",
    "GoalEnv",
    "ParameterVector",
    "PixelVectorEnv",
    "Plan",
    "Policy",
    "Selector",
    "Spec",
    "Task",
    "TrainRequest",
    "TrainedPolicy",
    "VectorEnv",
    "__version__",
    "as_spec",
    "bind",
    "build_model",
    "compile_model",
    "known_task",
    "make_env",
    "make_task",
    "make_vector_env",
    "propose_looks",
    "rollout",
    "state_names",
    "task_name",
    "task_names",
    "with_pixels",
]

register_tasks()
