"""Speed of eecore, measured against plain code in turn: `make bench`."""
