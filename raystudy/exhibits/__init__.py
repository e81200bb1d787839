"""One file per table or figure of a paper: which specs it needs and how it renders, ours beside the published."""
