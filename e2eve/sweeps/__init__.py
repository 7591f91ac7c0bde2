"""Sweeps: many training runs by one command, what they share, and how they ended.

A cell is a run folder and the overrides of the training run that fills it; a study is all cells of
a folder. Hydra's sweepers say which cells there are. Stock launchers run them in processes that
Hydra makes (`in_process`); launchers of our own train first what cells need, and give every cell
a command of its own, as a process or a job (`launcher`).
"""
