"""Sweeps: cells that are trained side by side, what they share, and how they ended.

A cell is a run folder and the command line of the training that fills it. Hydra's sweeper says
which cells there are; the launchers here run those that are not done, each by itself.
"""
