"""Lightning around the networks: modules, data, callbacks and the run folder."""
