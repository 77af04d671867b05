"""What the train loop is made of: steps, state, checkpoints, workdirs, exports."""
