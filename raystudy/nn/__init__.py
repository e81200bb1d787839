"""What methods compute with: the encoder, losses, gradients, embeddings, data-parallel workers."""
