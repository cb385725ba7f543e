"""`trocar train`: the training of `perception`, in a run folder of its own, with figures as every command has them."""

from perception.ranks import told_ranks
from perception.train import train
from perception.train_options import TrainOptions
from scenarios.figures import Figure
from scenarios.runs import FREE, start_run


def run_training(options: TrainOptions) -> list[Figure]:
    """Train, and return what was measured on the held-out patients.

    Raises:
        InputError: The data set cannot be used, or the folder holds something else.
        OSError: The folder cannot be written.
    """
    # The training itself finds out whether the data are the same; they may have moved since.
    if told_ranks().leads:
        start_run(options.out, "trocar train", options, free=(*FREE, "data", "quiet"))
    return [Figure(**one) for one in train(options)]
