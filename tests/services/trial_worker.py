"""A worker whose trials take no training: the real study logic, in a process that tests can kill.

python trial_worker.py STUDY WORKER, the plan as JSON on standard input, the settings in the environment.
"""

import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import optuna

from loopline.orders import FitPlan
from loopline.problems import load_problem
from loopline.settings import Settings
from loopline.studies import open_storage
from loopline.tuning import TrialRun, work

EPOCHS = 4
PROBLEM = load_problem("handwriting")


def run(trial: TrialRun) -> Sequence[float]:
    """Reach a CER that the learning rate alone decides, best at 0.002."""
    mood = os.environ.get("MOOD", "")
    if mood == "fails" or (mood == "fails once" and trial.number == 0):
        raise ValueError("loss is NaN")
    cer = abs(math.log(trial.recipe.learning_rate / 0.002))
    for number in range(trial.recipe.epochs):
        time.sleep(float(os.environ.get("EPOCH_SECONDS", "0")))
        if mood == "dies" and trial.number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        metrics = {"val_cer": cer + 1 / (number + 1), "train_loss": cer}
        trial.on_epoch(SimpleNamespace(number=number, planned=trial.recipe.epochs, metrics=metrics))
    return (cer, 1000 * trial.recipe.learning_rate)[: len(STUDY.directions)]


if __name__ == "__main__":
    settings = Settings()
    plan = FitPlan.model_validate_json(sys.stdin.read())
    STUDY = optuna.load_study(study_name=sys.argv[1], storage=open_storage(settings.tune, home=settings.folder))
    Path(settings.folder / f"worker-{os.getpid()}").touch()
    work(STUDY, PROBLEM, plan=plan, price_per_hour=settings.train.price_per_hour, seed=int(sys.argv[2]), run=run)
