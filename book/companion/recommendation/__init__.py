"""Which regime for my model, data and budget? The evidence, the rule, its words, and the tables of its page."""
