"""How models are fitted and saved.

Reading order: fit.py (any model), train.py (a learned model: epochs, validation, early stop, resume), epoch.py
(one epoch), train_step.py (loss, gradient, update, pmap), optimizer.py (AdamW, and large tables row by row),
input_pipeline.py (the data on the devices), sharding.py (profiles cut into shards), sampling.py (which
observations make a batch), train_state.py, settings.py, history.py, metric_writer.py, trackers.py; checkpoints.py,
checkpoint_folder.py and manifest.py (what is saved, and whether it is whole), interruption.py (signals), hosts.py.
"""
