"""From labelled examples to batches: few-shot cuts, seeded draws, tokenised text."""
