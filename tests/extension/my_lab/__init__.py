"""What a lab adds to e2eve: a mask type, a data set, a metric, a token model, a callback."""
