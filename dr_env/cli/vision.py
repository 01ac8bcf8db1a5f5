"""`dr-env vision`: from labelled images to estimators of poses; one file for each command."""

from __future__ import annotations

import tyro

from dr_env.cli.vision_compare import compare
from dr_env.cli.vision_evaluate import evaluate
from dr_env.cli.vision_looks import looks
from dr_env.cli.vision_predict import predict
from dr_env.cli.vision_refine import refine
from dr_env.cli.vision_train import train

app = tyro.extras.SubcommandApp()
app.command(train)
app.command(evaluate)
app.command(predict)
app.command(refine)
app.command(looks)
app.command(compare)
