"""Why regimes differ: measurements of trained networks. No function changes the model it is given."""
