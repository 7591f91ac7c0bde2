"""Names of what an evaluation leaves in its folder, for those who write and those who read it."""

METRICS = "metrics.json"  # what was measured with what, and one row of numbers a system
PICTURE = "samples.png"  # samples of the first inputs
SAMPLES = "samples.csv"  # numbers of each system, input and sample
INPUTS = "inputs.csv"  # numbers of each input
SAMPLES_FOLDER = "samples/inputs"  # ID.png: an input's samples side by side, as they were drawn
