"""Studies of what the estimates and bounds are worth, on worlds in which the truth is known; none needs torch."""
