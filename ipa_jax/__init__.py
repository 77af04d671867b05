"""Neural image popularity assessment: model, training, evaluation."""
