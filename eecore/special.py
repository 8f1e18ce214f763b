"""Token numbers with a meaning of their own, on which data and models agree; a vocabulary's own tokens follow."""

PADDING = 0  # behind the end of a text that is shorter than S: not there
UNKNOWN = 1  # a token that the vocabulary does not hold, or one that was dropped
SEPARATOR = 2  # the end of a text; in a pair, the end of each of the two
FIRST = 3  # the first number of a vocabulary's own tokens
